"""Services that abort and undo bulk operations."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext

from scheduling.bulk.records import actor_columns, end_operation
from scheduling.exceptions import (
    BulkNotUndoableError,
    BulkOperationEndedError,
    BulkOperationNotFoundError,
    InvalidTransitionError,
)
from scheduling.models import BulkFormer, BulkOperation
from tenants.approvals.service import require_approval
from tenants.audit.service import record_audit
from tenants.tenancy.pausing import require_reason


@transaction.atomic
def abort_bulk_operation(*, operation_id: UUID, reason: str) -> BulkOperation:
    """Abort an operation in the current tenant context; jobs already changed stay changed.

    A turn that runs now ends first, within about a second. Raise BulkOperationNotFoundError, BulkOperationEndedError or
    ReasonRequiredError. Raise InvalidTransitionError for a reroute: if it were aborted, jobs would stay in queues that
    the routing rules no longer give.
    """
    reason = require_reason(reason)
    operation = _lock(operation_id)
    if operation.operation == BulkOperation.Operation.REROUTE:
        raise InvalidTransitionError("A reroute ends by itself.")
    if not operation.is_open:
        raise BulkOperationEndedError
    end_operation(operation, BulkOperation.State.ABORTED, action="bulk_operation.aborted", reason=reason)
    return operation


@transaction.atomic
def undo_bulk_operation(*, operation_id: UUID, reason: str) -> BulkOperation:
    """Start an operation that restores the former values of jobs, except of those that have changed since.

    An operation can be undone once, if it changed priorities or queues and its former values are still stored. Raise
    BulkOperationNotFoundError, BulkNotUndoableError, ReasonRequiredError or ApprovalRequiredError.
    """
    reason = require_reason(reason)
    operation = _lock(operation_id)
    if not operation.is_undoable:
        raise BulkNotUndoableError
    if BulkOperation.objects.filter(undo_of=operation).exists():
        raise BulkNotUndoableError("The bulk operation has already been undone.")
    if not BulkFormer.objects.filter(operation=operation).exists():
        raise BulkNotUndoableError("The previous values of the jobs are no longer kept.")
    require_approval(
        "bulk",
        {"undo": str(operation.pk), "reason": reason},
        preview=gettext("Undo “%(operation)s”: %(reason)s") % {"operation": operation, "reason": reason},
        tenant_id=operation.tenant_id,
        number=operation.changed,
        subject={"undo": str(operation.pk)},
        is_repeated=True,
    )
    undo = BulkOperation.objects.create(
        tenant_id=operation.tenant_id,
        undo_of=operation,
        operation=operation.operation,
        parameters=operation.parameters,
        filter=operation.filter,
        asked_filter=operation.asked_filter,
        frozen_at=operation.frozen_at,
        newest_id=operation.newest_id,
        expected=operation.changed,
        reason=reason,
        **actor_columns(),
    )
    after = {"operation": operation.operation, "jobs": operation.changed, "undone_by": str(undo.pk)}
    record_audit(action="bulk_operation.undone", target=operation, after=after, reason=reason)
    return undo


def _lock(operation_id: UUID) -> BulkOperation:
    operation = BulkOperation.objects.select_for_update(no_key=True).filter(pk=operation_id).first()
    if operation is None:
        raise BulkOperationNotFoundError
    return operation
