"""Warnings: a tenant comes near to a limit, or has reached it; said once for each limit and month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from tenants.limits import NO_PERIOD, WARNING_PERCENTS, Limit, limits
from tenants.selectors.limits import ALLOWED, MONTH, described
from tenants.signals import limit_warned

# By the database's clock, as the dispatcher's own month is. In one order for all, since ticks and changes of plans may
# warn the same tenants at once.
_RETURNING = "ON CONFLICT DO NOTHING RETURNING tenant_id, key, percent, used, allowed"
_WARN_OF_USAGE = f"""
WITH {ALLOWED}
INSERT INTO tenants_limitwarning (tenant_id, key, period, percent, used, allowed)
SELECT u.tenant_id, u.key, {MONTH}, level.percent, u.amount, a.value
FROM tenants_tenantusage u JOIN allowed a ON a.tenant_id = u.tenant_id AND a.key = u.key
    CROSS JOIN unnest(%(percents)s::int[]) AS level(percent)
WHERE u.tenant_id = ANY(%(tenant_ids)s::uuid[]) AND u.period IN ({MONTH}, %(no_period)s)
    AND u.amount > 0 AND u.amount::numeric * 100 >= level.percent * a.value::numeric * a.counts_per_unit
ORDER BY u.tenant_id, u.key, level.percent
{_RETURNING}
"""  # noqa: S608 - constants
_NOTE = f"""
INSERT INTO tenants_limitwarning (tenant_id, key, period, percent, used, allowed)
SELECT %(tenant_id)s, %(key)s, {MONTH}, level.percent, %(used)s, %(allowed)s
FROM unnest(%(percents)s::int[]) AS level(percent) {_RETURNING}
"""  # noqa: S608 - constants


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
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        warnings = cursor.fetchall()
    if warnings:
        transaction.on_commit(lambda: _tell(warnings))
    return len(warnings)


def _tell(warnings: Sequence[tuple[Any, ...]]) -> None:
    for tenant_id, key, percent, used, allowed in warnings:
        limit_warned.send(None, tenant_id=tenant_id, key=key, percent=percent, used=used, allowed=allowed)
