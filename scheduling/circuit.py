"""When a circuit breaker opens and closes: pure, so that a table of cases can say all of it.

A breaker belongs to one tenant's jobs of one kind. So many failures in a row, of one fingerprint and within a window,
open it: further jobs wait instead of burning their attempts on something that is down. After a cool-down it is half
open: one job tries. Its success closes the breaker, its failure opens it for another cool-down. What was under way
when it opened says nothing more, whatever becomes of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID


class CircuitState(StrEnum):
    """Where a breaker stands; while nothing fails there is none."""

    COUNTING = "counting"
    OPEN = "open"
    HALF_OPEN = "half_open"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """So many failures within so many seconds open a breaker for so many seconds; 0 failures: never."""

    failures: int
    window_seconds: float
    cool_down_seconds: float


@dataclass(frozen=True, slots=True)
class Ending:
    """How an execution ended: in an error that time may heal, or, with an empty fingerprint, well."""

    job_id: UUID
    fingerprint: str
    error_type: str
    error_message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CircuitStanding:
    """A breaker's row without its name."""

    state: CircuitState
    failures: int
    fingerprint: str
    error_type: str
    error_message: str
    counted_from: datetime
    opened_at: datetime | None = None
    until: datetime | None = None
    probe_job_id: UUID | None = None


def follow(
    standing: CircuitStanding | None, endings: Iterable[Ending], policy: CircuitPolicy, now: datetime
) -> CircuitStanding | None:
    """Where a breaker stands after what ended, in the order in which it ended; None: there is none (any more)."""
    for ending in endings:
        standing = _follow_one(standing, ending, policy, now)
    return standing


def _follow_one(
    standing: CircuitStanding | None, ending: Ending, policy: CircuitPolicy, now: datetime
) -> CircuitStanding | None:
    if standing is None or standing.state is CircuitState.COUNTING:
        return _count(standing, ending, policy, now) if ending.fingerprint else None
    if standing.state is not CircuitState.HALF_OPEN or ending.job_id != standing.probe_job_id:
        return standing
    if not ending.fingerprint:
        return replace(standing, state=CircuitState.CLOSING, until=None, probe_job_id=None)
    return _opened(_counted(ending, standing.failures + 1, standing.counted_from), policy, now)


def _count(standing: CircuitStanding | None, ending: Ending, policy: CircuitPolicy, now: datetime) -> CircuitStanding:
    window = timedelta(seconds=policy.window_seconds)
    goes_on = (
        standing is not None
        and standing.fingerprint == ending.fingerprint
        and ending.at - standing.counted_from <= window
    )
    counted = (
        _counted(ending, standing.failures + 1, standing.counted_from)
        if standing is not None and goes_on
        else _counted(ending, 1, ending.at)
    )
    return _opened(counted, policy, now) if 0 < policy.failures <= counted.failures else counted


def _counted(ending: Ending, failures: int, counted_from: datetime) -> CircuitStanding:
    return CircuitStanding(
        CircuitState.COUNTING, failures, ending.fingerprint, ending.error_type, ending.error_message, counted_from
    )


def _opened(standing: CircuitStanding, policy: CircuitPolicy, now: datetime) -> CircuitStanding:
    until = now + timedelta(seconds=policy.cool_down_seconds)
    return replace(standing, state=CircuitState.OPEN, opened_at=now, until=until)
