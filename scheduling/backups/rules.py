"""Pure rules of backups: names, what is due, what is kept, and what a dump lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

# Tables named in an error.
MAX_NAMED = 5


def backup_name(taken_at: datetime, backup_id: UUID) -> str:
    """Return the name of a backup: names sort by time."""
    return f"{taken_at:%Y%m%dT%H%M%S%fZ}-{backup_id.hex[-4:]}"


def differing_tables(seen: Mapping[str, int], dumped: Mapping[str, int]) -> list[str]:
    """Return the tables whose numbers of rows differ, with both numbers, the first few only."""
    names = sorted(name for name in seen.keys() | dumped.keys() if seen.get(name, 0) != dumped.get(name, 0))
    return [f"{name} ({seen.get(name, 0)} / {dumped.get(name, 0)})" for name in names[:MAX_NAMED]]


def is_due(last: datetime | None, every: timedelta, now: datetime) -> bool:
    """Return whether the next backup is due, ``every`` after the last one began."""
    return last is None or now - last >= every


def select_expired(taken: Sequence[datetime], *, keep: timedelta, least: int, now: datetime) -> list[datetime]:
    """Return the times of backups older than ``keep``; the newest ``least`` are always kept."""
    return [moment for moment in sorted(taken, reverse=True)[least:] if now - moment > keep]
