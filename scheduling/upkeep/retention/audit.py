"""Search for chains of the audit log that have entries older than the retention of their tenant's plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from scheduling.upkeep.retention.rules import Cutoffs
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

_OLD_CHAIN = load_sql(__file__)["find_old_chains"]


@dataclass(frozen=True, slots=True)
class OldChain:
    """Tenant whose audit chain has old entries, and the time before which they are pruned."""

    tenant_id: UUID
    before: datetime


def find_old_chains(cutoffs: Cutoffs) -> list[OldChain]:
    """Return those of these tenants whose audit chains begin before their cutoffs."""
    return fetch_all(_OLD_CHAIN, cutoffs.parameters(), class_row(OldChain), is_planned=True)
