"""Which chains of the audit log have entries that their tenants' plans keep no longer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from scheduling.upkeep.retention.rules import Cutoffs
from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql

_OLD_CHAIN = load_sql(__file__)["find_old_chains"]


@dataclass(frozen=True, slots=True)
class OldChain:
    """A tenant's chain, and before when its entries are kept no longer."""

    tenant_id: UUID
    before: datetime


def find_old_chains(cutoffs: Cutoffs) -> list[OldChain]:
    """Return the chains of the page's tenants that begin before their cutoffs."""
    with planned_cursor(class_row(OldChain)) as cursor:
        cursor.execute(_OLD_CHAIN, cutoffs.parameters())
        return list(cursor.fetchall())
