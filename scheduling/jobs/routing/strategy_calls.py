"""Calls of routing strategies within bounds of time: each gives a choice of a candidate, or the cause of its absence.

A call is interrupted after CALL_SECONDS of processor time. A strategy with MOST_LATE such calls within the pause is set
aside for the pause, in this process. All calls of one submission share BATCH_SECONDS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from scheduling.jobs.routing.time_bound import OutOfTimeError, time_bound
from scheduling.kit.routing import CandidateQueue, Choice, Choose, RoutedJob

# Of processor time, and fifty times as long by the clock, for a process that gets little of it.
CALL_SECONDS: Final = 0.005
BATCH_SECONDS: Final = 0.1
CLOCK_FACTOR: Final = 50
# One late call may be the garbage collector's.
MOST_LATE: Final = 3
PAUSE_SECONDS: Final = 60.0
MAX_REASON_CHARACTERS: Final = 200


class Cause(StrEnum):
    """Why a strategy gave no choice."""

    NOT_INSTALLED = "not_installed"
    NOT_USABLE = "not_usable"
    RAISED_ERROR = "raised_error"
    NAMED_NO_QUEUE = "named_no_queue"
    TOO_SLOW = "too_slow"
    SET_ASIDE = "set_aside"
    # The calls of one submission together.
    BATCH_TOO_SLOW = "batch_too_slow"


@dataclass(frozen=True, slots=True)
class NoChoice:
    """The cause why a strategy gave no choice, and a detail, which may be empty."""

    cause: Cause
    detail: str = ""


@dataclass(slots=True)
class TimeAllowance:
    """What is left for the calls of one submission, in seconds of processor time and of the clock."""

    cpu_seconds: float = BATCH_SECONDS
    seconds: float = BATCH_SECONDS * CLOCK_FACTOR

    @property
    def is_spent(self) -> bool:
        return self.cpu_seconds <= 0 or self.seconds <= 0


class StrategyCaller:
    """The calls of strategies of one process, and which of them are set aside."""

    def __init__(
        self, cpu: Callable[[], float] = time.thread_time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cpu, self._clock = cpu, clock
        self._late: dict[str, list[float]] = {}

    def call(
        self, name: str, choose: Choose, job: RoutedJob, pools: Sequence[CandidateQueue], allowance: TimeAllowance
    ) -> Choice | NoChoice:
        """Return the strategy's choice, which names one of ``pools``, or why there is none; raise nothing."""
        began, cpu_began = self._clock(), self._cpu()
        if self._is_aside(name, began):
            return NoChoice(Cause.SET_ASIDE)
        if allowance.is_spent:
            return NoChoice(Cause.BATCH_TOO_SLOW)
        try:
            with time_bound(cpu_seconds=CALL_SECONDS, seconds=CALL_SECONDS * CLOCK_FACTOR):
                found = _read(choose(job, pools), pools)
        except OutOfTimeError:
            found = NoChoice(Cause.TOO_SLOW)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever foreign code raises is a cause to fall back
            found = NoChoice(Cause.RAISED_ERROR, type(error).__name__[:MAX_REASON_CHARACTERS])
        cpu_seconds, seconds = self._cpu() - cpu_began, self._clock() - began
        allowance.cpu_seconds -= cpu_seconds
        allowance.seconds -= seconds
        if cpu_seconds > CALL_SECONDS or seconds > CALL_SECONDS * CLOCK_FACTOR:
            self._late[name] = [*self._late.get(name, [])[1 - MOST_LATE :], self._clock()]
            found = NoChoice(Cause.TOO_SLOW)
        return found

    def _is_aside(self, name: str, now: float) -> bool:
        late = self._late.get(name)
        return late is not None and len(late) == MOST_LATE and _is_recent(late, now)


def _is_recent(late: Sequence[float], now: float) -> bool:
    """Return whether the calls were late within one pause, and the last of them within the pause before now."""
    return late[-1] - late[0] <= PAUSE_SECONDS and now - late[-1] < PAUSE_SECONDS


def _read(answer: object, pools: Sequence[CandidateQueue]) -> Choice | NoChoice:
    choice = Choice(answer) if isinstance(answer, str) else answer
    if not isinstance(choice, Choice):
        return NoChoice(Cause.NAMED_NO_QUEUE, type(answer).__name__[:MAX_REASON_CHARACTERS])
    queue = next((pool.queue for pool in pools if pool.queue == choice.queue), None)
    if queue is None:
        return NoChoice(Cause.NAMED_NO_QUEUE, _line(choice.queue))
    return Choice(queue, _line(choice.reason) if isinstance(choice.reason, str) else "")


def _line(text: object) -> str:
    """Return the beginning of a text as one line without unprintable characters; of another value, its type."""
    if not isinstance(text, str):
        return type(text).__name__[:MAX_REASON_CHARACTERS]
    return "".join(sign if sign.isprintable() else " " for sign in text[:MAX_REASON_CHARACTERS])
