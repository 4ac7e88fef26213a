"""Job kinds that workers announce when they register; a pool gets only jobs of the kinds of its live workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from scheduling.dispatch.broker import wake_on_commit
from scheduling.models import WorkerPool
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql

# A rolling deploy ends before; a kind unknown for longer has no worker.
ALARM_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class UnknownKind:
    """Kind whose jobs wait in a pool because no live worker of the pool announces it, and since when."""

    pool: str
    kind: str
    since: datetime


def unknown_kinds_of(
    pools: Iterable[WorkerPool], now: datetime, *, waiting_for: timedelta = ALARM_AFTER
) -> list[UnknownKind]:
    """Return kinds whose jobs have waited at least ``waiting_for`` for a worker that announces them, longest first."""
    found = [
        UnknownKind(pool.name, kind, datetime.fromtimestamp(since, UTC))
        for pool in pools
        for kind, since in pool.unknown_kinds.items()
    ]
    return sorted((each for each in found if now - each.since >= waiting_for), key=lambda each: each.since)


_SQL = load_sql(__file__)
_REFRESH = _SQL["store_announced_kinds"]
_NOTE_UNKNOWN = _SQL["note_unknown_kinds"]


def tend_announced_kinds() -> None:
    """Store the kinds that live workers announce, and the kinds with waiting jobs that no live worker announces."""
    with all_tenants():
        refresh_announced_kinds()
        execute(_NOTE_UNKNOWN)


def refresh_announced_kinds() -> int:
    """Store for each pool the kinds that its live workers announce; return how many pools changed.

    Wake the dispatcher if a pool changed, so that jobs of announced kinds are released at once.
    """
    with all_tenants():
        changed = len(fetch_all(_REFRESH, {"lease_seconds": platform_settings.LEASE_SECONDS}))
        if changed:
            wake_on_commit()
    return changed
