"""The kit's part for jobs that submit jobs: what is asked for, waited for and found. `base` shows it to processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

# That one execution may submit.
MAX_CHILDREN: Final = 1_000


@dataclass(frozen=True, slots=True)
class AwaitChildren:
    """The job gives its slot back until the children that it submitted have all ended, and resumes from ``state``.

    However they ended: ``context.children()`` tells.
    """

    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Child:
    """A job that a job asks for."""

    kind: str
    payload: Mapping[str, Any]
    priority: int | None = None
    fair_key: str = ""
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ChildJob:
    """What became of a child; ``state`` is a job's, and ``result`` is there where it is ``completed``."""

    job_id: UUID
    kind: str
    state: str
    result: Mapping[str, Any] | None
    error_type: str
    error_message: str
