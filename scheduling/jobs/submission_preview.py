"""What a submission would do: the queue that a job would go to, and when it would start. Nothing is stored."""

from __future__ import annotations

from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest, rank_of
from scheduling.jobs.routing.service import Routes
from scheduling.jobs.waits.reasons import Explanation, why_waiting
from scheduling.models import Job
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7
from tenants.database.rows import new_row
from tenants.models import Tenant


def preview_submission(*, tenant: Tenant, request: JobRequest) -> tuple[str, Explanation | None]:
    """Return the queue of a job and the explanation of its wait; raise the DomainError of a job without a queue."""
    with tenant_context(tenant):
        queue = Routes.of_tenant(tenant).queue_for(request.kind, request.payload, request.queue, request.tags)
        now = read_clock()
        run_at = max(request.run_at or now, now)
        job = new_row(
            Job,
            id=uuid7(),
            tenant=tenant,
            kind=request.kind,
            queue=queue,
            state=JobState.SCHEDULED if run_at > now else JobState.AVAILABLE,
            rank=rank_of(run_at, request.priority or 0),
            fair_key=request.fair_key,
            run_at=run_at,
            created_at=now,
            payload_hash=b"",
        )
        return queue.name, why_waiting(job)
