"""Cancelling a batch as a whole: it takes no more jobs, and those that it has are cancelled, a thousand a turn."""

from __future__ import annotations

from uuid import UUID

from django.contrib.postgres.functions import TransactionNow
from django.db import connection
from django.db.models.functions import Coalesce

from scheduling.exceptions import BatchEndedError
from scheduling.lifecycle import TERMINAL_STATES, JobState
from scheduling.models import Batch
from scheduling.services.batches.making import lock_batch, mark_closed
from scheduling.services.cancellation import cancel_here
from scheduling.services.leadership import lead
from tenants.context import Actor, acting_as, all_tenants
from tenants.locks import LockClass
from tenants.services.audit import record_audit

CANCEL_ACTOR = Actor(kind="system", id="batch", label="batch")
CANCEL_ROWS = 1_000
REASON = "its batch was cancelled"
_OPEN_STATES = sorted(frozenset(JobState) - TERMINAL_STATES)
_OPEN_JOBS = """
SELECT j.id FROM scheduling_batch b CROSS JOIN LATERAL (
    SELECT j.id FROM scheduling_job j
    WHERE j.tenant_id = b.tenant_id AND j.batch_id = b.id AND j.state = ANY (%(states)s)
        AND NOT EXISTS (SELECT FROM scheduling_execution_live l
            WHERE l.job_id = j.id AND l.cancel_requested_at IS NOT NULL)
    LIMIT %(limit)s
) AS j
WHERE b.cancelled_at IS NOT NULL AND b.ended_at IS NULL LIMIT %(limit)s
"""
# Whose parent has ended without waiting for them: it was cancelled, or its deadline passed.
_CANCEL_ORPHANED = """
UPDATE scheduling_batch b SET cancelled_at = now(), cancel_reason = 'the job that waited for it has ended'
FROM scheduling_job j
WHERE b.waiting_job_id IS NOT NULL AND b.ended_at IS NULL AND b.cancelled_at IS NULL
    AND j.id = b.waiting_job_id AND j.state = ANY (%(states)s)
"""


def cancel_batch(*, batch_id: UUID, reason: str = "") -> Batch:
    """Cancel a batch of the current scope; its first thousand jobs at once, the others within seconds.

    Raises BatchNotFoundError, and BatchEndedError when nothing of it is left to cancel.
    """
    batch = lock_batch(batch_id)
    if batch.ended_at is not None:
        raise BatchEndedError
    if batch.cancelled_at is None:
        Batch.objects.filter(pk=batch.pk).update(
            cancelled_at=TransactionNow(), closed_at=Coalesce("closed_at", TransactionNow()), cancel_reason=reason
        )
        mark_closed(batch)
        record_audit(action="batch.cancelled", target=batch, after={"jobs": batch.total}, reason=reason)
        _cancel_some()
    batch.refresh_from_db()
    return batch


def tend_cancellations() -> int:
    """A duty: go on with batches that were cancelled, and with those whose waiting job has ended; how many jobs."""
    with acting_as(CANCEL_ACTOR), all_tenants():
        if not lead(LockClass.BATCHES_CANCELLED):
            return 0
        with connection.cursor() as cursor:
            cursor.execute(_CANCEL_ORPHANED, {"states": sorted(TERMINAL_STATES)})
        return _cancel_some()


def _cancel_some() -> int:
    """The next jobs of the cancelled batches in sight."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN_JOBS, {"states": _OPEN_STATES, "limit": CANCEL_ROWS})
        job_ids = [job_id for (job_id,) in cursor.fetchall()]
    return len(cancel_here(job_ids, reason=REASON)) if job_ids else 0
