"""Counters of what tenants store, proved by a recount of what they count, a page of tenants at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from tenants.context import all_tenants
from tenants.limits import NO_PERIOD, Limit
from tenants.selectors.tenant_pages import IN_PAGE, TenantPage

_OF_COUNTER = f"{IN_PAGE} AND key = %(key)s AND period = %(period)s"
_DIFFERENCES = f"""
WITH recounted AS (<recounted>), counted AS (
    SELECT tenant_id, amount FROM tenants_tenantusage WHERE {_OF_COUNTER}
)
SELECT tenant_id, %(key)s::text, coalesce(c.amount, 0), coalesce(r.amount, 0)
FROM counted c FULL JOIN recounted r USING (tenant_id)
WHERE coalesce(c.amount, 0) <> coalesce(r.amount, 0) ORDER BY 1
"""  # noqa: S608 - constants
# The counters' rows are locked, and then what they count is counted by a statement that sees all that was waited for.
_HOLD = f"SELECT 1 FROM tenants_tenantusage WHERE {_OF_COUNTER} FOR NO KEY UPDATE"  # noqa: S608 - constants
_REPAIR = f"""
WITH recounted AS (<recounted>), emptied AS (
    UPDATE tenants_tenantusage SET amount = 0
    WHERE {_OF_COUNTER} AND tenant_id NOT IN (SELECT tenant_id FROM recounted)
)
INSERT INTO tenants_tenantusage (tenant_id, key, period, amount)
SELECT tenant_id, %(key)s, %(period)s, amount FROM recounted
ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = excluded.amount
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class CounterDifference:
    """A counter that is not what its rows add up to."""

    tenant_id: UUID
    key: str
    counted: int
    recounted: int

    def values(self) -> dict[str, Any]:
        """What a sentence about it tells."""
        return {
            "tenant": self.tenant_id,
            "counter": self.key,
            "counted": f"{self.counted:,}",
            "recounted": f"{self.recounted:,}",
        }


@dataclass(frozen=True, slots=True)
class StoredCounter:
    """The counter of a limit of ``Span.NOW``, and the rows that it counts.

    ``table`` has a row or more a tenant; ``amount`` is SQL of what those of one tenant add up to.
    """

    limit: Limit
    table: str
    amount: str

    def verify_page(self, page: TenantPage, *, repair: bool = False) -> Sequence[CounterDifference]:
        """Return the counters of a page of tenants that differ; ``repair`` writes the recount, in one transaction."""
        parameters: dict[str, Any] = {**page.parameters(), "key": self.limit.key, "period": NO_PERIOD}
        with all_tenants(), connection.cursor() as cursor:
            if repair:
                cursor.execute(_HOLD, parameters)
            cursor.execute(self._fill(_DIFFERENCES), parameters)
            differences = [CounterDifference(*row) for row in cursor.fetchall()]
            if repair and differences:
                cursor.execute(self._fill(_REPAIR), parameters)
        return differences

    def _fill(self, statement: str) -> str:
        recounted = f"SELECT tenant_id, ({self.amount})::bigint AS amount FROM {self.table} WHERE {IN_PAGE} GROUP BY 1"  # noqa: S608 - names
        return statement.replace("<recounted>", recounted)
