"""Removal of audit entries: a chain's oldest, up to a signed checkpoint, or a whole chain after a signed final head.

Only the auditor's database login can do it. Row-level policies forbid it to delete any other row, and the verifier
checks the signature of each checkpoint and final head.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tenants.audit.chain import PLATFORM_CHAIN
from tenants.audit.chain_queries import find_counter
from tenants.audit.heads import build_head
from tenants.audit.sealing import leads
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_one
from tenants.database.sql import load_sql
from tenants.models import AuditHead, AuditSeal

_SQL = load_sql(__file__)
_PRUNE = _SQL["prune_audit"]
_ERASED = ("tenants_auditpending", "tenants_auditlogentry", "tenants_auditseal", "tenants_audithead")


@dataclass(frozen=True, slots=True)
class Pruned:
    """The result of one pruning: how many entries and heads were removed, and whether more entries are old enough."""

    entries: int
    has_more: bool
    heads: int = 0


def prune_audit(*, chain: UUID, before: datetime, limit: int = 1000) -> Pruned:
    """Remove at most `limit` of a chain's oldest entries, all of them sealed before `before`.

    Return the numbers removed. `chain` is a tenant's id or PLATFORM_CHAIN. A signed checkpoint is stored in place of
    the removed entries. The last seal stays, so that the chain continues from it. Entries without a seal are never
    removed. If another auditor holds the auditors' lock, nothing is removed.
    """
    with all_tenants():
        if not leads():
            return Pruned(0, has_more=True)
        oldest = list(
            AuditSeal.objects.filter(chain=chain)
            .order_by("sequence")
            .values_list("sequence", "hash", "sealed_at")[: limit + 1]
        )
        # The last row read is never pruned: it is beyond the limit, or the last of the chain.
        old = [(sequence, chain_hash) for sequence, chain_hash, sealed_at in oldest[:-1] if sealed_at < before]
        if not old:
            return Pruned(0, has_more=False)
        sequence, chain_hash = old[-1]
        build_head("checkpoint", chain, sequence, chain_hash).save(force_insert=True)
        pruned = fetch_one(_PRUNE, {"chain": chain, "sequence": sequence}, is_planned=True)
    return Pruned(pruned.seals, has_more=len(old) == limit, heads=pruned.heads)


def erase_chain(chain: UUID) -> dict[str, int]:
    """Remove all audit rows of a tenant. Return the numbers of removed rows, by table.

    A signed final head is written first; a trigger copies it into the chain's counter, from where later entries would
    continue. Raise `ValueError` for the platform's own chain.
    """
    if chain == PLATFORM_CHAIN:
        raise ValueError("The platform's own chain is never erased.")
    removed = {}
    with all_tenants():
        # Excludes the sealer: rows that it had just sealed would stay behind.
        LockClass.SEALING.hold()
        counter = find_counter(chain)
        build_head("final", chain, counter.sequence, counter.hash).save(force_insert=True)
        for table in _ERASED:
            removed[table] = execute(_SQL[f"erase_{table}"], {"chain": chain}, is_planned=True)
    # The final head is deleted with the others and not counted.
    removed[AuditHead._meta.db_table] -= 1
    return removed
