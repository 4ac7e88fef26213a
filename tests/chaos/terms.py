"""The terms of a run: what its checkers hold the platform to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from tests.chaos.history import History


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed: each tenant's cap from which moment on, and the most retries of a job."""

    caps: Mapping[UUID, Sequence[tuple[datetime, int]]] = field(default_factory=dict)
    max_retries: int = 3
    # Minutes in which each of the labelled schedules had to fire.
    fires: Mapping[str, Sequence[datetime]] = field(default_factory=dict)
    # Whether the row cancels jobs, or has them cancelled.
    may_cancel: bool = False
    # Roles whose processes may end by themselves in this row, for their supervisor to start them again.
    may_end: frozenset[str] = frozenset()
    # By how much the checkers' bounds are multiplied, as those of recovery.
    factor: float = 1.0


type Check = Callable[[History, Terms], list[str]]
