"""What a tick takes in: that it leads and what is new, what ended, and the jobs that are due.

What ended since the last tick is folded into virtual times, counters, the sums of the predictor and usage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row, namedtuple_row, scalar_row

from scheduling.conf import STAGE_ROWS, WAKE_ROWS
from scheduling.dispatch.pick import memory_gate_parameters
from scheduling.execution.settlement import longest_us
from scheduling.limits.declared import PEAK_MEMORY, WORKER_SECONDS
from tenants.database.ids import uuid7s
from tenants.database.locks import LockClass
from tenants.database.prepared import prepared_cursor
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
    """The work that a tick found to stage and to fold, and whether a tenant was runnable before that.

    ``is_anybody_locked``: another transaction held a tenant's rows a moment ago.
    """

    is_anybody_locked: bool
    is_due: bool
    is_held: bool
    is_circuit: bool
    is_settled: bool
    is_woken: bool
    is_slice_used: bool
    is_anybody_runnable: bool

    @property
    def is_any(self) -> bool:
        """Return whether there are wakes, or may be after folding, which appends some."""
        return self.is_due or self.is_held or self.is_circuit or self.is_settled or self.is_woken


def lead_pool(pool_id: int) -> News | None:
    """Take the pool's lock for this transaction and look for work to fold; return None if another process has it.

    What is committed after this wakes another tick: of this dispatcher, or of one that finds the lock taken and leaves
    the wake for this one.
    """
    with prepared_cursor(dict_row) as cursor:
        cursor.execute(_LOOK, {"pool_id": pool_id, "most_us": longest_us(), "tick_lock": LockClass.TICK.value})
        found = cursor.fetchone()
        is_led, is_clock_old = found.pop("is_led"), found.pop("is_clock_old")
        if is_led and is_clock_old:
            cursor.execute(_SET_CLOCK, {"pool_id": pool_id})
    return News(**found) if is_led else None


def collect_settled(pool_id: int, free: list[UUID] | None = None, *, places: Sequence[str] | None = None) -> bool:
    """Fold the pool's settled executions in one statement, plus one for warnings when a limit is near.

    Return whether that may let jobs of other pools start. A careful tick folds only those of the tenants in ``free``.
    ``places`` are the ctids of the rows to fold; None: all.
    """
    parameters: dict[str, Any] = {
        "pool_id": pool_id,
        "free": free,
        "worker_key": WORKER_SECONDS.key,
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
    """Consume the pool's wakes, at most WAKE_ROWS, in two statements; return how many.

    An edited plan may wake a hundred thousand tenants, so wakes of single jobs precede such bulk. A careful tick
    consumes only those of the tenants in ``free``.
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
    """Make due jobs available, oldest first, at most STAGE_ROWS; return how many."""
    event_ids = uuid7s(min(STAGE_ROWS, _count_due()))
    if not event_ids:
        return 0
    return _run(_STAGE_DUE, {"limit": len(event_ids), "event_ids": event_ids})


def stage_held() -> int:
    """Release jobs whose gate has opened: a resumed kind, room in the pool, or a worker that has the kind.

    Release at most STAGE_ROWS; return how many.
    """
    return _run(_STAGE_HELD, {"limit": STAGE_ROWS, "needs": memory_gate_parameters()})


def hold_refused_rows(pool_id: int, read: Mapping[int, int]) -> set[int]:
    """Set the first ready jobs of entities aside that are behind a gate, among at least as many as were read of each.

    About STAGE_ROWS are read in all. A job that another transaction holds stays; return the entities that have such.
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
        }
        cursor.execute(_HOLD, values)
        return set(cursor.fetchall())


def _count_due() -> int:
    return _run(_COUNT_DUE, {"limit": STAGE_ROWS})


def _run(statement: str, parameters: dict[str, Any]) -> int:
    with prepared_cursor(scalar_row) as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.fetchone())
