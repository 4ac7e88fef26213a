"""What history says of a repair that changed a job's state."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from scheduling.models import Job
from scheduling.services.events import append_events
from tenants.clock import read_clock

REPAIRED_EVENT = "job.repaired"


def append_repair_events(job_ids: Collection[UUID | str], *, code: str) -> None:
    """One event for each of the jobs, in the state that it has by now."""
    jobs = Job.objects.filter(pk__in=job_ids).only("id", "tenant_id", "state")
    append_events(list(jobs), name=REPAIRED_EVENT, at=read_clock(), data={"fault": code})
