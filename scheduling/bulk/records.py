"""Creation and end of the rows of bulk operations, with their actors and audit entries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from scheduling.bulk.queries import FrozenJobs
from scheduling.jobs.queries import CappedCount
from scheduling.models import BulkOperation
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import Actor, current_actor
from tenants.database.clock import read_clock

TARGET = "scheduling.bulkoperation"


def actor_of(operation: BulkOperation) -> Actor:
    """Return the actor that started an operation, with the rights that it had then; the turns act as this actor."""
    return Actor(
        kind=operation.actor_kind,  # type: ignore[arg-type]  # written from an Actor
        id=operation.actor_id,
        label=operation.actor_label,
        request_id=operation.request_id,
        is_of_tenant=operation.is_actor_of_tenant,
        may_use_secrets=operation.may_use_secrets,
        may_manage_webhooks=operation.may_manage_webhooks,
    )


def actor_columns() -> dict[str, Any]:
    """Return the values of the columns in which an operation stores the current actor."""
    actor = current_actor()
    return {
        "actor_kind": actor.kind,
        "actor_id": actor.id[:64],
        "actor_label": actor.label[:200],
        "request_id": actor.request_id[:64],
        "is_actor_of_tenant": actor.is_of_tenant,
        "may_use_secrets": actor.may_use_secrets,
        "may_manage_webhooks": actor.may_manage_webhooks,
    }


def create_operation(jobs: FrozenJobs, count: CappedCount, **columns: Any) -> BulkOperation:
    """Create the row of an operation on ``jobs`` for the current actor, and write its audit entry."""
    row = BulkOperation.objects.create(
        filter=jobs.job_filter.text,
        frozen_at=jobs.frozen_at,
        newest_id=jobs.newest_id,
        expected=count.value,
        is_expected_capped=count.is_capped,
        **columns,
        **actor_columns(),
    )
    after = {"operation": row.operation, "filter": row.filter, "jobs": str(count), **row.parameters}
    record_audit(action="bulk_operation.started", target=row, after=after, reason=row.reason)
    return row


def end_operation(
    operation: BulkOperation, state: BulkOperation.State, *, action: str = "bulk_operation.ended", reason: str = ""
) -> None:
    """Store that an operation has ended in ``state``, and write an audit entry for each affected tenant.

    ``reason`` defaults to the reason given at the start.
    """
    reason = reason or operation.reason
    operation.state = state
    operation.finished_at = read_clock()
    operation.save()
    if operation.batch_id is not None and state == BulkOperation.State.COMPLETED:
        return  # part of the cancelled batch, which has its own audit entry
    facts = {"operation": operation.operation, "state": state.value}
    record_audit(action=action, target=operation, after=facts | audit_summary(operation), reason=reason)
    if operation.tenant_id is None:
        for tenant_id, changed in sorted(operation.changed_by_tenant.items()):
            target = AuditTarget(TARGET, str(operation.pk), tenant_id=UUID(tenant_id))
            record_audit(action=action, target=target, after=facts | {"changed": changed}, reason=reason)


def audit_summary(operation: BulkOperation) -> dict[str, object]:
    """Return an operation's counts of seen, changed and refused jobs, for its audit entry."""
    edited = {"payloads_edited": operation.changed} if operation.has_payload_patch else {}
    return {"seen": operation.seen, "changed": operation.changed, "ineligible": operation.ineligible, **edited}
