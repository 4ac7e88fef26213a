"""The first steps of a tick: take the lock, look for changes, count what has ended, and make due jobs available.

Executions that ended since the last tick are counted in virtual times, counters, the predictor's sums and usage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row, namedtuple_row, scalar_row

from scheduling.conf import STAGE_ROWS, WAKE_ROWS
from scheduling.dispatch.concurrency_keys import key_limit_parameters
from scheduling.dispatch.pick import memory_gate_parameters
from scheduling.execution.settlement import longest_us
from scheduling.limits.declared import CPU_SECONDS, IO_MIB, PEAK_MEMORY, WORKER_SECONDS
from tenants.database.ids import uuid7s
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_one, prepared_cursor
from tenants.database.sql import load_sql
from tenants.limits.declared import WARNING_PERCENTS
from tenants.limits.usage import warn_of_usage

_SQL = load_sql(__file__)
_LOOK = _SQL["look"]
_SET_CLOCK = _SQL["set_clock"]
_COLLECT_ALL, _COLLECT_PLACES = _SQL["collect_all"], _SQL["collect_places"]
_FOLD_KEYS, _FOLD_TENANTS = _SQL["fold_keys"], _SQL["fold_tenants"]
_COUNT_DUE = _SQL["count_due"]
_STAGE_DUE = _SQL["stage_due"]
_STAGE_HELD = _SQL["stage_held"]
_HOLD = _SQL["hold_gated"]


@dataclass(frozen=True, slots=True)
class News:
    """What a tick found to do before it picks jobs.

    Each flag names one kind of work, such as due jobs or settled executions. ``is_keyed_waiting``: jobs wait for a
    concurrency key. ``is_anybody_runnable``: a tenant had jobs to run before. ``is_anybody_locked``: another
    transaction held a tenant's rows a moment ago. ``has_held``: executions of lists wait for their turn in workers.
    """

    is_anybody_locked: bool
    is_due: bool
    is_held: bool
    is_keyed_waiting: bool
    is_key_news: bool
    is_circuit: bool
    is_settled: bool
    is_woken: bool
    is_slice_used: bool
    has_held: bool
    is_anybody_runnable: bool

    @property
    def is_any(self) -> bool:
        """Return whether the tick must read wake rows: there are some, or the work found may add some."""
        is_moved = self.is_due or self.is_held or self.is_key_news or self.is_circuit
        return is_moved or self.is_settled or self.is_woken


def lead_pool(pool_id: int) -> News | None:
    """Take the pool's lock for this transaction and look for work; return None if another process has the lock.

    Also return None if a witness guards the site and it has not renewed its epoch in time.

    This tick does not see what other transactions commit afterwards. They wake a dispatcher, which ticks the pool next
    or, if it finds the lock taken, requests that the pool is ticked once more.
    """
    with prepared_cursor(dict_row) as cursor:
        cursor.execute(_LOOK, {"pool_id": pool_id, "most_us": longest_us(), "tick_lock": LockClass.TICK.value})
        found = cursor.fetchone()
        is_led, is_clock_old = found.pop("is_led"), found.pop("is_clock_old")
        if is_led and is_clock_old:
            cursor.execute(_SET_CLOCK, {"pool_id": pool_id})
    return News(**found) if is_led else None


def collect_settled(pool_id: int, free: list[UUID] | None = None, *, places: Sequence[str] | None = None) -> bool:
    """Add the pool's settled executions to virtual times, counters, the predictor's sums and usage, in one statement.

    A second statement only runs to warn when a limit is near. Return whether jobs of other pools may start now.
    ``free``: only executions of these tenants; None: of all. ``places``: only the rows with these ctids; None: all.
    """
    parameters: dict[str, Any] = {
        "pool_id": pool_id,
        "free": free,
        "worker_key": WORKER_SECONDS.key,
        "cpu_key": CPU_SECONDS.key,
        "io_key": IO_MIB.key,
        "peak_key": PEAK_MEMORY.key,
        "peak_unit": PEAK_MEMORY.counts_per_unit,
        "peak_default": PEAK_MEMORY.default,
        "percents": list(WARNING_PERCENTS),
    }
    with prepared_cursor(scalar_row) as cursor:
        if places is None:
            cursor.execute(_COLLECT_ALL, parameters)
        else:
            cursor.execute(_COLLECT_PLACES, {**parameters, "places": list(places)})
        found: list[UUID | None] = cursor.fetchall()
    if near := [tenant_id for tenant_id in found if tenant_id is not None]:
        warn_of_usage(near)
    return None in found


def fold_wakes(pool_id: int, free: list[UUID] | None = None) -> int:
    """Delete up to WAKE_ROWS wake rows of the pool and update their entities, in two statements; return how many.

    An edited plan may wake a hundred thousand tenants, so wakes of single jobs come before such bulk. ``free``: read
    only wakes of these tenants; None: of all.
    """
    with prepared_cursor(namedtuple_row) as cursor:
        cursor.execute(_FOLD_KEYS, {"pool_id": pool_id, "limit": WAKE_ROWS, "free": free})
        rows = cursor.fetchall()
        if news := [row for row in rows if row.entity_id is not None]:
            parameters = {
                "ids": [row.entity_id for row in news],
                "deltas": [row.delta for row in news],
                "keys_deltas": [row.keys_delta for row in news],
            }
            cursor.execute(_FOLD_TENANTS, parameters)
    return int(rows[0].wakes)


def stage_due() -> int:
    """Make jobs available whose time has come, the earliest first, at most STAGE_ROWS; return how many."""
    event_ids = uuid7s(min(STAGE_ROWS, _count_due()))
    if not event_ids:
        return 0
    return _run(_STAGE_DUE, {"limit": len(event_ids), "event_ids": event_ids})


def stage_held() -> int:
    """Make held jobs available whose obstacle is gone: a paused kind, too little memory, or no worker with the kind.

    Move at most STAGE_ROWS; return how many.
    """
    return _run(_STAGE_HELD, {"limit": STAGE_ROWS, "needs": memory_gate_parameters()})


def hold_refused_rows(pool_id: int, read: Mapping[int, int]) -> set[int]:
    """Move ready jobs that may not start for now out of the ready table, so that they do not block others.

    ``read`` has the number of jobs read for each entity; at least as many are checked, about STAGE_ROWS in all. Return
    the entities with such a job that was not moved because another transaction has locked it.
    """
    if not read:
        return set()
    limits = [max(count, STAGE_ROWS // len(read)) for count in read.values()]
    with prepared_cursor(scalar_row) as cursor:
        values: dict[str, Any] = {
            "pool_id": pool_id,
            "entity_ids": list(read),
            "limits": limits,
            "needs": memory_gate_parameters(),
            "key_limits": key_limit_parameters(),
        }
        cursor.execute(_HOLD, values)
        return set(cursor.fetchall())


def _count_due() -> int:
    return _run(_COUNT_DUE, {"limit": STAGE_ROWS})


def _run(statement: str, parameters: dict[str, Any]) -> int:
    return int(fetch_one(statement, parameters, scalar_row))
