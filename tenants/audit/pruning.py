"""Removing audit entries: the oldest of a chain up to a signed checkpoint, or a whole chain after its final head.

The auditor does it. The policies of the database let it delete no other row, and the verifier checks the signature of
each checkpoint and of the final head.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from psycopg.rows import namedtuple_row

from tenants.audit.chain import PLATFORM_CHAIN
from tenants.audit.chain_queries import find_counter
from tenants.audit.heads import build_head
from tenants.audit.sealing import leads
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql
from tenants.models import AuditHead, AuditSeal

_SQL = load_sql(__file__)
_PRUNE = _SQL["prune_audit"]
_ERASED = ("tenants_auditpending", "tenants_auditlogentry", "tenants_auditseal", "tenants_audithead")


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many entries went, and heads before the checkpoint, and whether more of the chain is old enough."""

    entries: int
    has_more: bool
    heads: int = 0


def prune_audit(*, chain: UUID, before: datetime, limit: int = 1000) -> Pruned:
    """Remove at most `limit` of the oldest entries of a chain, those that were sealed before `before`.

    `chain` is a tenant's id, or PLATFORM_CHAIN. The last seal stays, so that the chain goes on from it. What waits for
    its seal is never removed.
    """
    with all_tenants(), planned_cursor(namedtuple_row) as cursor:
        if not leads():
            return Pruned(0, has_more=True)
        oldest = list(
            AuditSeal.objects.filter(chain=chain)
            .order_by("sequence")
            .values_list("sequence", "hash", "sealed_at")[: limit + 1]
        )
        # All but the last one read: either there is more than the limit, or it is the last of the chain.
        old = [(sequence, chain_hash) for sequence, chain_hash, sealed_at in oldest[:-1] if sealed_at < before]
        if not old:
            return Pruned(0, has_more=False)
        sequence, chain_hash = old[-1]
        build_head("checkpoint", chain, sequence, chain_hash).save(force_insert=True)
        cursor.execute(_PRUNE, {"chain": chain, "sequence": sequence})
        pruned = cursor.fetchone()
    return Pruned(pruned.seals, has_more=len(old) == limit, heads=pruned.heads)


def erase_chain(chain: UUID) -> dict[str, int]:
    """Remove all that the audit log holds of a tenant after its signed final head; return the rows removed by table.

    The counter of the chain keeps the final head. Entries that come later would go on from there.
    """
    if chain == PLATFORM_CHAIN:
        raise ValueError("The platform's own chain is never erased.")
    removed = {}
    with all_tenants(), connection.cursor() as cursor:
        # No sealer at work: what it has just sealed would stay behind.
        LockClass.SEALING.hold()
        counter = find_counter(chain)
        build_head("final", chain, counter.sequence, counter.hash).save(force_insert=True)
        for table in _ERASED:
            cursor.execute(_SQL[f"erase_{table}"], {"chain": chain})
            removed[table] = cursor.rowcount
    # The final head, which is gone with the others.
    removed[AuditHead._meta.db_table] -= 1
    return removed
