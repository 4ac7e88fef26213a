"""How an execution may end, in a processor's own words. `base` shows them to processors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scheduling.kit.children import AwaitChildren

type Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Complete:
    """The job is done; ``result`` is stored with it (at most 64 KiB as JSON)."""

    result: Json | None = None


@dataclass(frozen=True, slots=True)
class Yielded:
    """The job gives its slot back and resumes from ``state`` when its turn comes again."""

    state: Json


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The job gives its slot back and resumes from ``state`` after ``seconds``; that burns no attempt.

    ``reason`` is a stable code of what it waits for, which the job's history shows.
    """

    state: Json
    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Suspended:
    """The job gives its slot back and resumes from ``state`` once `scheduling.jobs.suspension.wake_jobs` wakes it.

    After ``seconds`` it is woken in any case; None: not by time. One that was woken while it still ran resumes at once.
    """

    state: Json
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed in a way that time may heal; None takes the kind's back-off."""

    error: BaseException
    after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Discard:
    """The job can never succeed; it becomes a dead letter with this reason."""

    reason: str
    error: BaseException | None = None


type Outcome = Complete | Yielded | Snoozed | Suspended | AwaitChildren | Retry | Discard
