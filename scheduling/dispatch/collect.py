"""Fold what ended since the last tick into virtual times, counters, the sums of the predictor and usage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.rows import scalar_row

from scheduling.limits.declared import PEAK_MEMORY, WORKER_SECONDS
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql
from tenants.limits.declared import WARNING_PERCENTS
from tenants.limits.usage import warn_of_usage

_SQL = load_sql(__file__)
_COLLECT_ALL, _COLLECT_PLACES = _SQL["collect_all"], _SQL["collect_places"]


def collect_settled(pool_id: int, free: list[UUID] | None = None, *, places: Sequence[str] | None = None) -> bool:
    """Fold the pool's settled executions: one statement, whatever their number; one more where a limit comes near.

    Return whether that may let jobs of other pools start. Of a careful tick only those of the tenants in ``free``.
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
