"""Kit types for jobs that submit jobs; `base` exports them to processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

# The most children that one execution may submit.
MAX_CHILDREN: Final = 1_000


@dataclass(frozen=True, slots=True)
class AwaitChildren:
    """The outcome of a job that frees its slot until all of its children have ended, and resumes from ``state``.

    It resumes however they ended; ``context.children()`` returns their results. ``state`` is a JSON object.
    """

    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Child:
    """A child job to submit: kind, payload (a JSON object), and options as in a submission."""

    kind: str
    payload: Mapping[str, Any]
    priority: int | None = None
    fair_key: str = ""
    tags: Sequence[str] = ()
    concurrency_key: str = ""


@dataclass(frozen=True, slots=True)
class ChildJob:
    """An ended child.

    ``state`` is the job's state; ``result`` is set if that is ``completed``, ``error_type`` and ``error_message`` if it
    failed.
    """

    job_id: UUID
    kind: str
    state: str
    result: Mapping[str, Any] | None
    error_type: str
    error_message: str
