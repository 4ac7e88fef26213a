"""Warnings: a tenant comes near to a limit, or has reached it; said once for each limit and month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from psycopg.rows import dict_row

from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql
from tenants.limits.declared import NO_PERIOD, WARNING_PERCENTS, Limit, limits
from tenants.limits.queries import described
from tenants.signals import limit_warned

_SQL = load_sql(__file__)
_WARN_OF_USAGE, _NOTE = _SQL["warn_of_usage"], _SQL["note_level"]


def warn_of_usage(tenant_ids: Sequence[UUID]) -> int:
    """Warn those of the tenants whose counters have reached a part of their limits; how many warnings are new."""
    counted = [limit for limit in limits().values() if limit.is_counter and limit.warns]
    parameters = described(counted, tenant_ids) | {
        "no_period": NO_PERIOD,
        "percents": list(WARNING_PERCENTS),
    }
    return _write(_WARN_OF_USAGE, parameters)


def note_level(*, tenant_id: UUID, limit: Limit, used: int, allowed: int) -> int:
    """The same for what is no counter, where its use is known anyway."""
    reached = [percent for percent in WARNING_PERCENTS if used > 0 and used * 100 >= percent * allowed]
    if not reached:
        return 0
    parameters = {"tenant_id": tenant_id, "key": limit.key, "percents": reached}
    return _write(_NOTE, parameters | {"used": used, "allowed": allowed})


def _write(statement: str, parameters: dict[str, Any]) -> int:
    with planned_cursor(dict_row) as cursor:
        cursor.execute(statement, parameters)
        warnings = cursor.fetchall()
    if warnings:
        transaction.on_commit(lambda: _tell(warnings))
    return len(warnings)


def _tell(warnings: Sequence[Mapping[str, Any]]) -> None:
    for warning in warnings:
        limit_warned.send(None, **warning)
