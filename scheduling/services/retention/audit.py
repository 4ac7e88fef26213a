"""Which chains of the audit log have entries that their tenants' plans keep no longer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from scheduling.services.retention.rules import Cutoffs

# The oldest seal of a chain is the first of its index. A chain's last seal stays for ever, so one that has no other is
# passed over.
_OLD_CHAIN = """
SELECT d.tenant_id, d.cutoff
FROM unnest(%(tenant_ids)s::uuid[], %(floors)s::uuid[], %(cutoffs)s::timestamptz[]) AS d(tenant_id, floor, cutoff)
WHERE (
    SELECT count(*) = 2 AND min(s.sealed_at) < d.cutoff FROM (
        SELECT sealed_at FROM tenants_auditseal WHERE chain = d.tenant_id ORDER BY sequence LIMIT 2
    ) AS s
) ORDER BY d.tenant_id
"""


@dataclass(frozen=True, slots=True)
class OldChain:
    """A tenant's chain, and before when its entries are kept no longer."""

    tenant_id: UUID
    before: datetime


def find_old_chains(cutoffs: Cutoffs) -> list[OldChain]:
    """Return the chains of the page's tenants that begin before their cutoffs."""
    with connection.cursor() as cursor:
        cursor.execute(_OLD_CHAIN, cutoffs.parameters())
        return [OldChain(*row) for row in cursor.fetchall()]
