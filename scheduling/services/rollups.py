"""Folding what ended into the rollups, proving that they equal a recount, and dropping what is old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from scheduling.histogram import BOUNDS
from scheduling.models import RollupClock
from scheduling.selectors.throughput import COMPLETED, FAILED
from scheduling.services.leadership import lead
from scheduling.services.rollups_sql import DIFFERENCES, FOLD, NOTE
from tenants.context import all_tenants
from tenants.ids import uuid7_floor

ROLLUP_LOCK = 0x726F6C6C
# Measured at some 15 ms a thousand, which keeps one fold at some 50 ms; a dispatcher folds once a second.
FOLD_ROWS = 3_000
FOLD_SECONDS = 1.0
# Longest time from the making of an execution's id to its end that a recount looks for.
LONGEST_FLIGHT = timedelta(days=2)
# Days that each rollup is kept, by its table and its column of time.
KEPT_DAYS = {
    ("scheduling_tenant_minute", "minute"): 3,
    ("scheduling_share_minute", "minute"): 3,
    ("scheduling_queue_minute", "minute"): 30,
    ("scheduling_kind_hour", "hour"): 400,
}
_DELETE = """
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {table} WHERE {column} < now() - make_interval(days => %s) LIMIT %s
    ))
"""


@dataclass(frozen=True, slots=True)
class RollupDifference:
    """A row of a rollup that is not what history says."""

    rollup: str
    row: str
    rolled: str
    recounted: str

    def __str__(self) -> str:
        return f"{self.rollup} of {self.row}: {self.rolled or 'nothing'}, recounted {self.recounted or 'nothing'}."


def fold_tallies(*, limit: int = FOLD_ROWS) -> int:
    """Count at most ``limit`` ended executions into the rollups, in one transaction; how many.

    Whoever folds holds a lock, so that two folds never wait for each other's rows; 0 while another one folds.
    """
    with all_tenants():
        if not lead(ROLLUP_LOCK):
            return 0
        with connection.cursor() as cursor:
            cursor.execute(FOLD, {"limit": limit, "bounds": list(BOUNDS), **_outcomes()})
            folded = int(cursor.fetchone()[0])
            cursor.execute(NOTE)
    return folded


def verify_rollups(*, since: datetime, until: datetime) -> list[RollupDifference]:
    """Compare the rollups of [since, until), whole hours, with a recount of history; what differs."""
    parameters = {"since": since, "until": until, "floor": uuid7_floor(since - LONGEST_FLIGHT), **_outcomes()}
    differences = []
    with all_tenants(), connection.cursor() as cursor:
        for statement in DIFFERENCES:
            cursor.execute(statement, parameters)
            differences += [RollupDifference(*row) for row in cursor.fetchall()]
    return differences


def verify_recent_rollups(*, hours: int = 2) -> list[RollupDifference]:
    """The same for the last whole hours, leaving out those in which counting began."""
    clock = RollupClock.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT date_trunc('hour', now())")
        (until,) = cursor.fetchone()
    # While a release is rolled out, workers of the one before settle without a tally.
    counted_since = clock.counting_since + timedelta(hours=2)
    since = max(until - timedelta(hours=hours), counted_since.replace(minute=0, second=0, microsecond=0))
    return verify_rollups(since=since, until=until) if since < until else []


def prune_rollups(*, limit: int) -> dict[str, int]:
    """Delete rows that are older than their rollup is kept, at most ``limit`` of each."""
    counts = {}
    with all_tenants(), connection.cursor() as cursor:
        for (table, column), days in KEPT_DAYS.items():
            cursor.execute(_DELETE.format(table=table, column=column), [days, limit])
            counts[table.removeprefix("scheduling_")] = cursor.rowcount
    return counts


def _outcomes() -> dict[str, Any]:
    return {"completed": list(COMPLETED), "failed": list(FAILED), "ran": [*COMPLETED, *FAILED]}
