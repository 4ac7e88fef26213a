"""Requests to remove audit entries: retention and erasure write them, and the auditor process carries them out.

The auditor does not trust a request. It prunes nothing sealed less than AUDIT_MINIMUM_DAYS ago. It erases a chain only
if the platform's own chain, which is never erased, has contained the request of that erasure for the grace period. Each
removal is recorded as an entry `audit.pruned` of the platform's chain.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

from tenants.audit.chain import PLATFORM_CHAIN
from tenants.audit.pruning import erase_chain, prune_audit
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.database.platform_settings import platform_settings
from tenants.models import AuditHead, AuditLogEntry, AuditRemoval, AuditSeal

BATCH_ENTRIES = 1_000
# Batches of one call, and requests that it reads: bounded, so that sealing is not delayed.
MOST_TURNS, MOST_LOOKS = 5, 100
# No seal is dated further ahead, even with skewed clocks.
_A_DAY = timedelta(days=1)


def request_removal(chain: UUID, kind: AuditRemoval.Kind, *, before: datetime) -> AuditRemoval:
    """Return the request of this kind for the chain; it is created if there is none."""
    removal = AuditRemoval(chain=chain, kind=kind, before=before)
    with all_tenants():
        AuditRemoval.objects.bulk_create([removal], ignore_conflicts=True)
        # None if the existing one was deleted by the auditor meanwhile.
        return AuditRemoval.objects.filter(chain=chain, kind=kind).first() or removal


def carry_out_removals() -> int:
    """Carry out a bounded part of the removal requests, oldest first. Return how many were completed.

    Run it with the auditor's login. Each request that it reads is completed or advances by one batch, so that none
    starves.
    """
    completed = turns = 0
    with all_tenants():
        waiting = list(AuditRemoval.objects.filter(done_at=None).order_by("requested_at", "id")[:MOST_LOOKS])
    for removal in waiting:
        if removal.kind == AuditRemoval.Kind.ERASURE and not _is_erasure_recorded(removal.chain):
            with all_tenants():
                # Forged or too early. A pending erasure requests it again.
                removal.delete()
            continue
        is_completed, has_pruned = _advance(removal)
        completed += is_completed
        turns += has_pruned
        if turns == MOST_TURNS:
            break
    return completed


def _is_erasure_recorded(chain: UUID) -> bool:
    """Return whether a sealed entry requested the erasure before the grace period, and no later one cancelled it."""
    if chain == PLATFORM_CHAIN:
        return False
    with all_tenants():
        entries = AuditLogEntry.objects.filter(tenant=None, after__subject_id=str(chain), seal__isnull=False)
        request = entries.filter(action="tenant.erasure_requested").order_by("-seal__sequence").first()
        if (
            request is None
            or entries.filter(action="tenant.erasure_cancelled", seal__sequence__gt=request.seal.sequence).exists()
        ):
            return False
        return bool(
            request.seal.sealed_at <= read_moment() - timedelta(seconds=platform_settings.ERASURE_GRACE_SECONDS)
        )


def _advance(removal: AuditRemoval) -> tuple[bool, bool]:
    """Prune one batch, or erase the rest of the chain. Return whether it is complete, and whether rows were removed."""
    is_erasure = removal.kind == AuditRemoval.Kind.ERASURE
    now = read_moment()
    before = (
        now + _A_DAY if is_erasure else min(removal.before, now - timedelta(days=platform_settings.AUDIT_MINIMUM_DAYS))
    )
    with all_tenants():
        # Another auditor may have completed it, or may be working on it.
        locked = (
            AuditRemoval.objects.select_for_update(no_key=True, skip_locked=True)
            .filter(pk=removal.pk, done_at=None)
            .first()
        )
        if locked is None:
            return False, False
        pruned = prune_audit(chain=locked.chain, before=before, limit=BATCH_ENTRIES)
        entries, seals, heads = (model._meta.db_table for model in (AuditLogEntry, AuditSeal, AuditHead))
        removed = Counter({entries: pruned.entries, seals: pruned.entries, heads: pruned.heads})
        if not pruned.has_more and is_erasure:
            removed.update(erase_chain(locked.chain))
            locked.done_at = read_moment()
        locked.removed = dict(+(Counter(locked.removed) + removed))
        if +removed:
            _record_pruning(locked, before, removed)
        if not pruned.has_more and not is_erasure:
            locked.delete()
        else:
            locked.save(update_fields=["removed", "done_at"])
    return not pruned.has_more, bool(+removed)


def _record_pruning(removal: AuditRemoval, before: datetime, removed: Counter[str]) -> None:
    """Audit the removal in the platform's own chain."""
    after = {"chain": removal.chain, "kind": removal.kind, "before": before, "removed": +removed}
    record_audit(action="audit.pruned", target=AuditTarget("tenants.auditremoval", str(removal.pk)), after=after)
