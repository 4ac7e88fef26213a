"""A tenant's jobs of one kind, used like a queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db.models import DurationField, ExpressionWrapper, F, Q
from django.db.models.functions import Now

from scheduling.dispatch import broker
from scheduling.dispatch.tick import Restriction, run_tick
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import Submission, submit_job
from scheduling.models import FairShareNode, Job, JobHeld, JobReady
from tenants.context import tenant_context
from tenants.models import Tenant


class TenantIsolatedTaskQueue:
    """The waiting jobs of one tenant and kind, used like a queue; they are rows in PostgreSQL, not a list in Redis."""

    def __init__(self, tenant: Tenant, kind: str) -> None:
        self.tenant = tenant
        self.kind = kind

    def push_task(self, payload: Mapping[str, Any], **options: Any) -> Submission:
        """Submit a job of this kind; ``options`` are those of JobRequest."""
        return submit_job(tenant=self.tenant, request=JobRequest(self.kind, payload, **options))

    def pull_tasks(self, count: int) -> int:
        """Dispatch up to ``count`` of these jobs now, ahead of other tenants; return how many.

        This is the dispatcher's claim, restricted to these jobs: caps, pauses and free slots apply, and every job is
        charged, so that later jobs of the tenant wait longer.
        """
        with tenant_context(self.tenant):
            ready = JobReady.objects.filter(kind=self.kind).values("entity_id")
            # The tick may admit jobs that wait for their concurrency keys.
            keyed = JobHeld.objects.filter(kind=self.kind, concurrency_key__isnull=False).values("entity_id")
            lines = FairShareNode.objects.filter(Q(pk__in=ready) | Q(pk__in=keyed))
            found = list(lines.values_list("queue__pool_id", "pk", "parent_id"))
        pulled = 0
        for pool_id in sorted({pool_id for pool_id, _, _ in found}):
            restriction = Restriction(
                # A key is reached through its tenant.
                entity_ids={id_ for pool, *path in found if pool == pool_id for id_ in path if id_ is not None},
                kind=self.kind,
                limit=count - pulled,
            )
            if restriction.limit > 0:
                result = run_tick(pool_id, only=restriction)
                pulled += result.dispatched
                if result.has_more or result.has_woken_others:
                    # This tick read some jobs only, and may have kept a dispatcher from reading others.
                    broker.wake_dispatcher()
        return pulled

    def depth(self) -> int:
        """Return how many of these jobs are ready to be dispatched."""
        with tenant_context(self.tenant):
            return JobReady.objects.filter(kind=self.kind).count()

    def oldest_age(self) -> timedelta | None:
        """Return how long the next of these jobs has been due; None if none is ready."""
        first = self.peek(1)
        if not first:
            return None
        with tenant_context(self.tenant):
            ages = Job.objects.filter(pk=first[0].pk).annotate(
                age=ExpressionWrapper(Now() - F("run_at"), DurationField())
            )
            age: timedelta | None = ages.values_list("age", flat=True).first()
        return age

    def peek(self, count: int = 10) -> Sequence[Job]:
        """Return the next ``count`` of these jobs in the tenant's own order; they stay in the queue."""
        with tenant_context(self.tenant):
            ranked = JobReady.objects.filter(kind=self.kind).order_by("rank", "job_id")
            ids = list(ranked.values_list("job_id", flat=True)[:count])
            jobs = Job.objects.in_bulk(ids)
        return [jobs[job_id] for job_id in ids if job_id in jobs]
