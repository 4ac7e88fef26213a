"""Terms of a run: the promises that its checks apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from tests.chaos.history import History


@dataclass(frozen=True, slots=True)
class Terms:
    """Each tenant's caps by their start, the most retries of a job, and the exceptions of the row."""

    caps: Mapping[UUID, Sequence[tuple[datetime, int]]] = field(default_factory=dict)
    max_retries: int = 3
    # Minutes in which each of the labelled schedules must fire.
    fires: Mapping[str, Sequence[datetime]] = field(default_factory=dict)
    # Whether the row cancels jobs, or causes their cancellation.
    may_cancel: bool = False
    # Roles whose processes may exit in this row, for their supervisor to restart them.
    may_end: frozenset[str] = frozenset()
    # Factor of the checks' bounds, as of those of recovery.
    factor: float = 1.0


type Check = Callable[[History, Terms], list[str]]
