"""Kit types for the end of an execution; `base` exports them to processors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scheduling.kit.children import AwaitChildren

type Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Complete:
    """The outcome of a finished job; ``result`` is stored with it (at most 64 KiB as JSON)."""

    result: Json | None = None


@dataclass(frozen=True, slots=True)
class Yielded:
    """The outcome of a job that frees its slot and resumes from ``state``, a JSON object, when next in fair order."""

    state: Json


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The outcome of a job that frees its slot and resumes from ``state`` after ``seconds``; it uses no attempt.

    ``seconds`` is finite and capped at 366 days. ``reason`` is a stable code of what it waits for, which the job's
    history shows.
    """

    state: Json
    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Suspended:
    """The outcome of a job that frees its slot and resumes from ``state`` when it is woken.

    `scheduling.jobs.suspension.wake_jobs` wakes it. If nothing has woken it after ``seconds`` (at most 366 days),
    it resumes anyway; with None there is no time-out. A job that was woken while it still ran resumes at once.
    """

    state: Json
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """The outcome of an attempt that failed transiently; the kind's back-off applies if ``after_seconds`` is None."""

    error: BaseException
    after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Discard:
    """The outcome of a job that can never succeed; it becomes a dead letter with this reason."""

    reason: str
    error: BaseException | None = None


type Outcome = Complete | Yielded | Snoozed | Suspended | AwaitChildren | Retry | Discard
