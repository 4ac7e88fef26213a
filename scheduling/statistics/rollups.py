"""Addition of ended executions to the rollups, and pruning of old rollups."""

from __future__ import annotations

from typing import Any

from psycopg.rows import scalar_row

from scheduling.dispatch.leadership import try_to_lead
from scheduling.statistics.histogram import BOUNDS
from scheduling.statistics.throughput import COMPLETED, FAILED
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_one
from tenants.database.sql import load_sql

# Measured at some 5 ms a thousand for 100 tenants and 15 for 10,000, which bounds a fold, for which ticks wait, to 50
# ms.
FOLD_ROWS = 3_000
FOLD_SECONDS = 1.0
# If a fold leaves rows behind: 20,000 a second, twice the highest rate measured on two cores.
NEXT_FOLD_SECONDS = 0.15
# Retention in days of each rollup, by its table and its time column.
KEPT_DAYS = {
    ("scheduling_tenant_minute", "minute"): 3,
    ("scheduling_share_minute", "minute"): 3,
    ("scheduling_tenant_gauge", "minute"): 1,
    ("scheduling_queue_gauge", "minute"): 3,
    ("scheduling_pool_gauge", "minute"): 3,
    ("scheduling_worker_minute", "minute"): 2,
    ("scheduling_queue_minute", "minute"): 30,
    ("scheduling_kind_minute", "minute"): 3,
    ("scheduling_state_minute", "minute"): 3,
    ("scheduling_excused_minute", "minute"): 3,
    ("scheduling_objective_minute", "minute"): 3,
    ("scheduling_objective_hour", "hour"): 400,
    # A day longer than the heat map.
    ("scheduling_series_hour", "hour"): 8,
    # Four weeks are compared, and a day that another rollup may be late.
    ("scheduling_series_summary", "hour"): 29,
    # Learned every day while the series has runs.
    ("scheduling_series_baseline", "learned_at"): 3,
    ("scheduling_anomaly", "seen_at"): 90,
}
_SQL = load_sql(__file__)
_FOLD, _NOTE = _SQL["fold_tallies"], _SQL["note_fold"]
_DELETE = """
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {table} WHERE {column} < now() - make_interval(days => %s) LIMIT %s
    ))
"""


class TallyFolder:
    """Duty of a dispatcher that adds ended executions to the rollups each second, and sooner while many are left."""

    def __init__(self) -> None:
        self._is_behind = False

    def interval_seconds(self) -> float:
        """Return the seconds until the next turn."""
        return NEXT_FOLD_SECONDS if self._is_behind else FOLD_SECONDS

    def take_turn(self) -> int:
        """Add ended executions to the rollups; return how many."""
        self._is_behind = False
        folded = fold_tallies()
        self._is_behind = folded >= FOLD_ROWS
        return folded


def fold_tallies(*, limit: int | None = None) -> int:
    """Add at most ``limit`` ended executions (default FOLD_ROWS) to the rollups, in one transaction; return how many.

    Return 0 if another process does this now: a lock keeps two processes from waiting for each other's rows.
    """
    with all_tenants():
        if not try_to_lead(LockClass.ROLLUPS):
            return 0
        values = {"limit": FOLD_ROWS if limit is None else limit, "bounds": list(BOUNDS), **outcomes()}
        folded = int(fetch_one(_FOLD, values, scalar_row, is_planned=True))
        execute(_NOTE, is_planned=True)
    return folded


def prune_rollups(*, limit: int) -> dict[str, int]:
    """Delete at most ``limit`` rows of each rollup that are older than its retention; return the numbers by rollup."""
    counts = {}
    with all_tenants():
        for (table, column), days in KEPT_DAYS.items():
            deleted = execute(_DELETE.format(table=table, column=column), [days, limit], is_planned=True)
            counts[table.removeprefix("scheduling_")] = deleted
    return counts


def outcomes() -> dict[str, Any]:
    """Return the outcomes that count as completed, failed or either, as parameters for the statements of rollups."""
    return {"completed": list(COMPLETED), "failed": list(FAILED), "ran": [*COMPLETED, *FAILED]}
