"""Submission of a batch's completion job: once, in the transaction that records it.

If the process dies before the commit, the batch is unchanged and the next dispatcher submits the job. A submission that
the tenant's limits refuse is retried; any other refusal is final and recorded for an operator.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.contrib.postgres.functions import TransactionNow
from django.db import InterfaceError, OperationalError

from scheduling.jobs.batches.completion import CompletionJob, summarise
from scheduling.jobs.submission import submit_job
from scheduling.models import Batch
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.encryption.fields import sealed_field
from tenants.exceptions import DomainError, TenantSuspendedError

logger = logging.getLogger(__name__)

BATCH_ACTOR = Actor(kind="system", id="batch", label="batch")
FIRE_LIMIT = 50
RETRY_SECONDS = 60


def fire_batches(*, limit: int = FIRE_LIMIT) -> int:
    """Submit the due completion jobs, at most ``limit``, each in its own transaction; return how many."""
    with all_tenants():
        due = list(
            Batch.objects.filter(fire_at__lte=TransactionNow())
            .order_by("fire_at")
            .values_list("tenant_id", "pk")[:limit]
        )
    return sum(_fire(tenant_id, batch_id) for tenant_id, batch_id in due)


def _fire(tenant_id: UUID, batch_id: UUID) -> bool:
    with acting_as(BATCH_ACTOR), tenant_context(tenant_id):
        rows = Batch.objects.select_related("tenant__plan").select_for_update(
            no_key=True, skip_locked=True, of=("self",)
        )
        batch = rows.filter(pk=batch_id, fire_at__lte=TransactionNow()).first()
        if batch is None:
            return False
        try:
            # A savepoint: a refusal leaves nothing but its reason.
            with tenant_context(tenant_id):
                request = CompletionJob.read(batch.on_completion or {}).request(summarise(batch))
                job = submit_job(tenant=batch.tenant, request=request).job
        except (OperationalError, InterfaceError):
            raise  # a database problem: the next turn retries
        except DomainError as refusal:
            _note_refusal(batch, str(refusal), wait_of(refusal))
            return False
        except Exception as error:
            logger.exception("batch.broken", extra={"batch": str(batch_id)})
            _note_refusal(batch, f"It cannot be submitted: {type(error).__name__}.", None)
            return False
        Batch.objects.filter(pk=batch_id).update(fire_at=None, fire_error="", fired_job_id=job.pk)
    return True


def wait_of(refusal: DomainError) -> float | None:
    """Return after how many seconds to retry a refused submission; None if the refusal is final."""
    if isinstance(refusal, TenantSuspendedError) or refusal.category in {"limited", "unavailable"}:
        return max(RETRY_SECONDS, refusal.retry_after_seconds or 0)
    return None


def _note_refusal(batch: Batch, why: str, wait_seconds: float | None) -> None:
    again = None if wait_seconds is None else TransactionNow() + timedelta(seconds=wait_seconds)
    error = sealed_field(Batch, "fire_error").ready(why, tenant_id=batch.tenant_id, row_id=batch.pk)
    Batch.objects.filter(pk=batch.pk).update(fire_at=again, fire_error=error)
