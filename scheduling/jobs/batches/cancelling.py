"""Cancellation of a whole batch: the batch is closed, and a bulk operation cancels its jobs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.postgres.functions import TransactionNow
from django.db.models.functions import Coalesce
from django.utils.translation import gettext
from psycopg.rows import scalar_row

from scheduling.bulk.queries import FrozenJobs
from scheduling.bulk.records import create_operation
from scheduling.bulk.turns import take_first_turn
from scheduling.dispatch.leadership import try_to_lead
from scheduling.exceptions import BatchEndedError
from scheduling.jobs.batches.service import close_locked_batch, lock_batch
from scheduling.jobs.filters import JobFilter
from scheduling.jobs.lifecycle import TERMINAL_STATES, JobState
from scheduling.jobs.queries import CappedCount
from scheduling.models import Batch, BulkOperation, Job
from tenants.approvals.service import require_approval
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import Actor, acting_as, all_tenants
from tenants.database.clock import read_moment
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql

CANCEL_ACTOR = Actor(kind="system", id="batch", label="batch")
REASON = "its batch was cancelled"
# The pause after an operation that left jobs behind, and how many operations start at a time.
RETRY_SECONDS = 60
MOST_STARTED = 100
_OPEN_STATES = sorted(frozenset(JobState) - TERMINAL_STATES)
_SQL = load_sql(__file__)
_CANCEL_ORPHANED = _SQL["cancel_orphaned"]
_LEFT_BEHIND = _SQL["find_unfinished"]


def cancel_batch(*, batch_id: UUID, reason: str = "") -> Batch:
    """Close a batch and cancel its jobs: the first thousand at once, the others within seconds; return the batch.

    Raise BatchNotFoundError unless the batch is visible in the current tenant context, BatchEndedError if it has
    ended, and ApprovalRequiredError if a second person must approve it.
    """
    batch = lock_batch(batch_id)
    if batch.ended_at is not None:
        raise BatchEndedError
    if batch.cancelled_at is None:
        require_approval(
            "bulk",
            {"batch": str(batch.pk), "reason": reason},
            preview=gettext("Cancel the batch “%(batch)s”: %(reason)s") % {"batch": batch, "reason": reason},
            tenant_id=batch.tenant_id,
            number=batch.total,
            subject={"batch": str(batch.pk)},
            is_repeated=True,
        )
        Batch.objects.filter(pk=batch.pk).update(
            cancelled_at=TransactionNow(), closed_at=Coalesce("closed_at", TransactionNow()), cancel_reason=reason
        )
        close_locked_batch(batch)
        record_audit(action="batch.cancelled", target=batch, after={"jobs": batch.total}, reason=reason)
        with suppress_nested_entries():
            take_first_turn(_start(batch, reason))
    batch.refresh_from_db()
    return batch


def tend_cancellations() -> int:
    """Start bulk operations for cancelled batches that still have unfinished jobs, and return their number.

    First mark batches as cancelled whose waiting parent job has ended. Return 0 while another process does the same.
    """
    with acting_as(CANCEL_ACTOR), all_tenants():
        if not try_to_lead(LockClass.BATCHES_CANCELLED):
            return 0
        execute(_CANCEL_ORPHANED, {"states": sorted(TERMINAL_STATES)})
        values: dict[str, Any] = {"states": _OPEN_STATES, "seconds": RETRY_SECONDS, "limit": MOST_STARTED}
        batch_ids = fetch_all(_LEFT_BEHIND, values, scalar_row)
        with suppress_nested_entries():
            for batch in Batch.objects.filter(pk__in=batch_ids).order_by("pk"):
                _start(batch, batch.cancel_reason)
    return len(batch_ids)


def _start(batch: Batch, reason: str) -> BulkOperation:
    """Create the operation that cancels the jobs of a closed batch."""
    # A job's creation time is the start of its transaction, so this moment is later than that of each job of the locked
    # batch.
    newest_id = Job.objects.filter(tenant_id=batch.tenant_id).order_by("-id").values_list("id", flat=True).first()
    jobs = FrozenJobs(JobFilter.of(batch=batch.pk), read_moment(), newest_id)
    return create_operation(
        jobs,
        CappedCount(batch.total, is_capped=False),
        tenant_id=batch.tenant_id,
        batch_id=batch.pk,
        operation=BulkOperation.Operation.CANCEL,
        asked_filter=jobs.job_filter.text,
        reason=reason or REASON,
    )
