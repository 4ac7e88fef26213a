"""Requests to remove audit entries: written by retention and erasure, carried out by the auditor.

The auditor trusts no request. It prunes nothing that was sealed less than AUDIT_MINIMUM_DAYS ago, and erases a chain
only if the platform's own chain, which is never erased, has held the request of that erasure for the period of grace.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from tenants.chain import PLATFORM_CHAIN
from tenants.clock import read_moment
from tenants.conf import audit_minimum_days, erasure_grace_seconds
from tenants.context import all_tenants
from tenants.models import AuditHead, AuditLogEntry, AuditRemoval, AuditSeal
from tenants.services.audit_pruning import erase_chain, prune_audit

BATCH_ENTRIES = 1_000
# Turns of one call, so that sealing is not kept waiting.
MOST_TURNS, MOST_LOOKS = 5, 20
# No seal is dated further ahead, whatever the clocks say.
_A_DAY = timedelta(days=1)


def request_removal(chain: UUID, kind: AuditRemoval.Kind, *, before: datetime) -> AuditRemoval:
    """Return the request of this kind for a chain, writing it if there is none."""
    with all_tenants():
        AuditRemoval.objects.bulk_create([AuditRemoval(chain=chain, kind=kind, before=before)], ignore_conflicts=True)
        return AuditRemoval.objects.get(chain=chain, kind=kind)


def carry_out_removals() -> int:
    """Do a bounded part of the requests, as the auditor; return how many were completed."""
    completed = 0
    with all_tenants():
        # Any of them, so that forged requests, which are never permitted, keep no others waiting.
        waiting = list(AuditRemoval.objects.filter(done_at=None).order_by("?")[:MOST_LOOKS])
    for _, removal in zip(range(MOST_TURNS), _permitted(waiting), strict=False):
        completed += _advance(removal)
    return completed


def _permitted(removals: list[AuditRemoval]) -> list[AuditRemoval]:
    return [
        removal
        for removal in removals
        if removal.kind == AuditRemoval.Kind.RETENTION or _is_erasure_recorded(removal.chain)
    ]


def _is_erasure_recorded(chain: UUID) -> bool:
    """Return whether the erasure was requested, by a sealed entry, a period of grace ago and not cancelled since."""
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
        return bool(request.seal.sealed_at <= read_moment() - timedelta(seconds=erasure_grace_seconds()))


def _advance(removal: AuditRemoval) -> bool:
    """Prune one batch, or erase what is left of the chain; return whether the request is completed."""
    is_erasure = removal.kind == AuditRemoval.Kind.ERASURE
    now = read_moment()
    before = now + _A_DAY if is_erasure else min(removal.before, now - timedelta(days=audit_minimum_days()))
    with all_tenants():
        # Another auditor may have completed it, or may be at it.
        locked = AuditRemoval.objects.select_for_update(skip_locked=True).filter(pk=removal.pk, done_at=None).first()
        if locked is None:
            return False
        pruned = prune_audit(chain=locked.chain, before=before, limit=BATCH_ENTRIES)
        entries, seals, heads = (model._meta.db_table for model in (AuditLogEntry, AuditSeal, AuditHead))
        _add(locked, {entries: pruned.entries, seals: pruned.entries, heads: pruned.heads})
        if not pruned.has_more and is_erasure:
            _add(locked, erase_chain(locked.chain))
            locked.done_at = read_moment()
        if not pruned.has_more and not is_erasure:
            locked.delete()
        else:
            locked.save(update_fields=["removed", "done_at"])
    return not pruned.has_more


def _add(removal: AuditRemoval, rows: dict[str, int]) -> None:
    for table, number in rows.items():
        if number:
            removal.removed[table] = removal.removed.get(table, 0) + number
