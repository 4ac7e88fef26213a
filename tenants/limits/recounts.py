"""Recounts of the counters of stored data, one page of tenants at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from tenants.context import all_tenants
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql
from tenants.limits.declared import NO_PERIOD, Limit
from tenants.tenancy.queries import TenantPage

_SQL = load_sql(__file__)
_RECOUNTED = (
    "WITH recounted AS (SELECT tenant_id, ({amount})::bigint AS amount FROM {table} WHERE {in_page} GROUP BY 1)"
)


@dataclass(frozen=True, slots=True)
class CounterDifference:
    """A usage counter whose value differs from the recounted sum of its rows."""

    tenant_id: UUID
    key: str
    counted: int
    recounted: int

    def values(self) -> dict[str, Any]:
        """Return the values for the placeholders of the message about this difference."""
        return {
            "tenant": self.tenant_id,
            "counter": self.key,
            "counted": f"{self.counted:,}",
            "recounted": f"{self.recounted:,}",
        }


@dataclass(frozen=True, slots=True)
class StoredCounter:
    """The counter of a limit with `LimitPeriod.NOW`, and the rows that it counts.

    ``table`` has one or more rows for each tenant; ``amount`` is an SQL aggregate over the rows of one tenant.
    """

    limit: Limit
    table: str
    amount: str

    def verify_page(self, page: TenantPage, *, repair: bool = False) -> Sequence[CounterDifference]:
        """Recount the counters of a page of tenants and return those that differ; with ``repair`` also correct them.

        It runs in one transaction.
        """
        parameters: dict[str, Any] = {**page.parameters(), "key": self.limit.key, "period": NO_PERIOD}
        recounted = _RECOUNTED.format(amount=self.amount, table=self.table, in_page=_SQL["in_page"])
        compare = recounted + _SQL["compare_counters"]
        with all_tenants():
            if repair:
                execute(_SQL["lock_counters"], parameters, is_planned=True)
            differences = fetch_all(compare, parameters, class_row(CounterDifference), is_planned=True)
            if repair and differences:
                execute(recounted + _SQL["write_counters"], parameters, is_planned=True)
        return differences
