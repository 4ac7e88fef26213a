"""Kinds whose jobs wait because no live worker of their pool announces them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from scheduling.models import WorkerPool

# The gate before their jobs, followed by the id of the pool.
UNKNOWN = "unknown"
# A rolling deploy ends before; a kind that is unknown for longer has been forgotten.
ALARM_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class UnknownKind:
    """A kind whose jobs wait in a pool, and since when a dispatcher has seen them wait."""

    pool: str
    kind: str
    since: datetime


def unknown_kinds_of(
    pools: Iterable[WorkerPool], now: datetime, *, waiting_for: timedelta = ALARM_AFTER
) -> list[UnknownKind]:
    """Return the kinds whose jobs have waited for so long for a worker that announces them, the longest first."""
    found = [
        UnknownKind(pool.name, kind, datetime.fromtimestamp(since, UTC))
        for pool in pools
        for kind, since in pool.unknown_kinds.items()
    ]
    return sorted((each for each in found if now - each.since >= waiting_for), key=lambda each: each.since)
