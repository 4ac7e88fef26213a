"""What history says of a repair that changed a job's state."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from scheduling.models import Job, JobEvent
from scheduling.services.events import actor_label
from tenants.clock import read_clock
from tenants.context import current_actor

REPAIRED_EVENT = "job.repaired"


def append_repair_events(job_ids: Collection[UUID | str], *, code: str) -> None:
    """Append one event for each of the jobs, in the state that it has by now."""
    actor, at = current_actor(), read_clock()
    JobEvent.objects.bulk_create(
        JobEvent(
            tenant_id=job.tenant_id,
            job_id=job.pk,
            at=at,
            name=REPAIRED_EVENT,
            state=job.state,
            actor=actor_label(actor),
            request_id=actor.request_id,
            data={"fault": code},
        )
        for job in Job.objects.filter(pk__in=job_ids).only("id", "tenant_id", "state")
    )
