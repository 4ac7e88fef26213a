"""The proof that every microsecond is accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from tenants.context import all_tenants
from tenants.selectors.tenant_pages import IN_PAGE, TenantPage, read_pages

# One statement is one snapshot, so executions that end meanwhile do not disturb the sums of its tenants.
_BALANCES = f"""
SELECT tenant_id, sum(charged)::bigint, sum(measured)::bigint, sum(predicted)::bigint
FROM (
    SELECT tenant_id, microseconds AS charged, 0 AS measured, 0 AS predicted FROM scheduling_charge WHERE {IN_PAGE}
    UNION ALL SELECT tenant_id, 0, measured_us, 0 FROM scheduling_execution WHERE {IN_PAGE}
    UNION ALL SELECT tenant_id, 0, 0, predicted_us FROM scheduling_execution_live WHERE {IN_PAGE}
) AS entries
-- A tenant that is being erased loses one table after the other.
WHERE tenant_id NOT IN (SELECT subject_id FROM tenants_tenanterasure WHERE status = 'running')
GROUP BY tenant_id ORDER BY tenant_id
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class TenantBalance:
    """A tenant's sums in microseconds of slot time."""

    tenant_id: UUID
    charged_us: int
    measured_us: int
    predicted_us: int

    @property
    def difference_us(self) -> int:
        """Charges less what they should be; 0 when the ledger balances."""
        return self.charged_us - self.measured_us - self.predicted_us


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """Every tenant's balance; the ledger balances when nobody's differs."""

    balances: Sequence[TenantBalance]

    @property
    def unbalanced(self) -> list[TenantBalance]:
        return [balance for balance in self.balances if balance.difference_us]

    @property
    def is_balanced(self) -> bool:
        return not self.unbalanced


def verify_ledger() -> LedgerReport:
    """Compare charges with measured time of ended executions and what open ones were charged in advance, by pages."""
    return LedgerReport([balance for page in read_pages() for balance in verify_ledger_page(page).balances])


def verify_ledger_page(page: TenantPage) -> LedgerReport:
    """The same for a page of tenants, by one statement."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_BALANCES, page.parameters())
        return LedgerReport([TenantBalance(*row) for row in cursor.fetchall()])
