"""Move jobs whose time has come, or whose gate has opened, to where they can be picked; set aside those behind one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.rows import scalar_row

from scheduling.conf import STAGE_ROWS
from scheduling.dispatch.gates import memory_needs
from tenants.database.ids import uuid7s
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_COUNT_DUE = _SQL["count_due"]
_STAGE_DUE = _SQL["stage_due"]
_STAGE_HELD = _SQL["stage_held"]
_HOLD = _SQL["hold_gated"]


def stage_due() -> int:
    """Make due jobs available, oldest first, at most STAGE_ROWS; how many."""
    event_ids = uuid7s(min(STAGE_ROWS, _count_due()))
    if not event_ids:
        return 0
    return _run(_STAGE_DUE, {"limit": len(event_ids), "event_ids": event_ids})


def stage_held() -> int:
    """Give jobs back whose kind is no longer paused, or whose pool has room for them or a worker that has their kind.

    At most STAGE_ROWS; return how many.
    """
    return _run(_STAGE_HELD, {"limit": STAGE_ROWS, "needs": memory_needs()})


def hold(pool_id: int, read: Mapping[int, int]) -> set[int]:
    """Set the first ready jobs of entities aside where they stand behind a gate: at least what was read of each.

    About STAGE_ROWS are looked at in all. A job that somebody else holds stays; the entities that have such are told.
    """
    if not read:
        return set()
    limits = [max(count, STAGE_ROWS // len(read)) for count in read.values()]
    with prepared_cursor(scalar_row) as cursor:
        values: dict[str, Any] = {
            "pool_id": pool_id,
            "entity_ids": list(read),
            "limits": limits,
            "needs": memory_needs(),
        }
        cursor.execute(_HOLD, values)
        return set(cursor.fetchall())


def _count_due() -> int:
    return _run(_COUNT_DUE, {"limit": STAGE_ROWS})


def _run(statement: str, parameters: dict[str, Any]) -> int:
    with prepared_cursor(scalar_row) as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.fetchone())
