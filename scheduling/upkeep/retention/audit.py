"""Chains of the audit log with entries beyond the retention of their tenants' plans."""

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
    """Chain of a tenant, and the moment before which its entries are pruned."""

    tenant_id: UUID
    before: datetime


def find_old_chains(cutoffs: Cutoffs) -> list[OldChain]:
    """Return the chains of the page's tenants that begin before their cutoffs."""
    with planned_cursor(class_row(OldChain)) as cursor:
        cursor.execute(_OLD_CHAIN, cutoffs.parameters())
        return list(cursor.fetchall())
