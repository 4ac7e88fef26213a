"""The steps of an erasure: count → the eraser of each app → rows → audit chain → prove.

Each call of `advance` is one transaction that does one bounded part and stores the progress. After a crash the next
call repeats the part that was not committed. Any number of processes may call it.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db.models import Q

from tenants.audit.chain_queries import find_counter
from tenants.audit.heads import is_head_signed
from tenants.audit.removals import request_removal
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.erasure.catalog import count_rows, delete_rows, tenant_tables
from tenants.erasure.erasers import count_outside, find_erasers
from tenants.erasure.proof import build_proof, hash_proof
from tenants.erasure.requests import record_erasure
from tenants.holds.service import find_hold
from tenants.models import (
    AuditHead,
    AuditLogEntry,
    AuditPending,
    AuditRemoval,
    AuditSeal,
    ErasureStatus,
    Tenant,
    TenantDataKey,
    TenantErasure,
)

COUNT, ROWS, CHAIN, PROVE = "count", "rows", "chain", "prove"
BATCH_ROWS = 5_000
# The auditor removes the audit log up to signed checkpoints, and the rest with the chain's final head. The tenant's own
# row is deleted last.
_LAST = frozenset({model._meta.db_table for model in (AuditHead, AuditLogEntry, AuditPending, AuditSeal, Tenant)})
_KEYS = TenantDataKey._meta.db_table


def due_erasures() -> list[UUID]:
    """Return the ids of the erasures that are running, or pending with their grace period over, oldest first."""
    with all_tenants():
        due = Q(status=ErasureStatus.RUNNING) | Q(status=ErasureStatus.PENDING, starts_at__lte=read_moment())
        return list(TenantErasure.objects.filter(due).order_by("pk").values_list("pk", flat=True))


def advance(erasure_id: UUID, *, most: int = BATCH_ROWS) -> bool:
    """Do one bounded part of an erasure in a transaction. Return whether another call would find work at once.

    Return False if the erasure is not due, if another process works on it, or while the tenant has a legal hold.
    """
    with all_tenants():
        erasure = TenantErasure.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=erasure_id).first()
        if erasure is None or not _is_due(erasure):
            return False
        if (hold := find_hold(erasure.subject_id)) is not None:
            TenantErasure.objects.filter(pk=erasure_id).update(note=f"Waits for the release of legal hold {hold.pk}.")
            return False
        if erasure.status == ErasureStatus.PENDING:
            _begin(erasure)
        has_more = _do_part(erasure, most)
        erasure.save()
    return has_more


def _is_due(erasure: TenantErasure) -> bool:
    if erasure.status == ErasureStatus.PENDING:
        return erasure.starts_at <= read_moment()
    return erasure.status == ErasureStatus.RUNNING


def _begin(erasure: TenantErasure) -> None:
    erasure.status, erasure.started_at, erasure.step = ErasureStatus.RUNNING, read_moment(), COUNT
    record_erasure(erasure, "tenant.erasure_begun")


def _do_part(erasure: TenantErasure, most: int) -> bool:
    erasure.note = ""
    if erasure.step == COUNT:
        erasure.before = {**count_rows(erasure.subject_id), **count_outside(erasure.subject_id)}
        _go_on(erasure)
        return True
    if erasure.step == ROWS:
        return _erase_rows(erasure, most)
    if erasure.step == CHAIN:
        return _erase_chain(erasure)
    if erasure.step == PROVE:
        return _prove(erasure)
    return _erase_outside(erasure, most)


def _erase_outside(erasure: TenantErasure, most: int) -> bool:
    label = erasure.step
    eraser = dict(find_erasers()).get(label)
    if eraser is None:  # its app was removed meanwhile
        _go_on(erasure)
        return True
    erased = eraser.erase(erasure.subject_id, most)
    _add(erasure, {f"{label}:{thing}": number for thing, number in erased.removed.items()})
    if erased.is_done:
        _go_on(erasure)
        return True
    erasure.note = erased.note[:500]
    return not erased.note


def _erase_rows(erasure: TenantErasure, most: int) -> bool:
    left = most
    # The keys first: from then on nothing that remains, or is in a backup, can be decrypted.
    for table in sorted(tenant_tables(), key=lambda table: table.name != _KEYS):
        if table.name in _LAST:
            continue
        removed = delete_rows(table, erasure.subject_id, most=left)
        _add(erasure, {table.name: removed})
        left -= removed
        if left <= 0:
            return True
    _go_on(erasure)
    return True


def _erase_chain(erasure: TenantErasure) -> bool:
    """Request the removal of the chain from the auditor. Return False until it is done."""
    removal = request_removal(erasure.subject_id, AuditRemoval.Kind.ERASURE, before=read_moment())
    if removal.done_at is None:
        erasure.note = "Waiting for the auditor: run “manage.py run_auditor”."
        return False
    _add(erasure, removal.removed)
    removal.delete()
    _go_on(erasure)
    return True


def _prove(erasure: TenantErasure) -> bool:
    """Delete the tenant's row, recount everything and write the proof, all or nothing."""
    subject, own = erasure.subject_id, Tenant._meta.db_table
    found = {**count_rows(subject), **count_outside(subject)}
    if any(number for name, number in found.items() if name != own):
        erasure.step, erasure.note = _steps()[1], "New rows appeared after the removal."
        return True
    final_head = find_counter(subject).final_head
    if final_head is None or not is_head_signed(final_head):
        raise ErasureIncompleteError("The audit chain has no signed final head.")
    (own_row,) = (table for table in tenant_tables() if table.name == own)
    _add(erasure, {own: delete_rows(own_row, subject, most=1)})
    erasure.after = {**count_rows(subject), **count_outside(subject)}
    if left := sorted(name for name, number in erasure.after.items() if number):
        raise ErasureIncompleteError(f"Rows are left in {', '.join(left)}.")
    erasure.finished_at = read_moment()
    erasure.status, erasure.step = ErasureStatus.COMPLETED, ""
    erasure.proof = build_proof(erasure)
    erasure.proof_sha256 = hash_proof(erasure.proof)
    record_erasure(erasure, "tenant.erased", final_head=final_head, proof_sha256=erasure.proof_sha256)
    return False


class ErasureIncompleteError(RuntimeError):
    """Raised if data of the tenant is left at the end. The transaction rolls back, and the next run tries again."""


def _steps() -> list[str]:
    return [COUNT, *(label for label, _ in find_erasers()), ROWS, CHAIN, PROVE]


def _go_on(erasure: TenantErasure) -> None:
    steps = _steps()
    at = steps.index(erasure.step) if erasure.step in steps else steps.index(ROWS) - 1
    erasure.step = steps[at + 1]


def _add(erasure: TenantErasure, removed: Mapping[str, int]) -> None:
    for name, number in removed.items():
        if number:
            erasure.removed[name] = erasure.removed.get(name, 0) + number
