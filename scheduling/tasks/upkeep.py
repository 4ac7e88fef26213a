"""What beat asks for: the platform's own upkeep, and jobs that operators schedule in beat's admin."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from scheduling.broker import publish_upkeep
from scheduling.conf import RUN_UPKEEP_TASK
from scheduling.exceptions import UpkeepBusyError
from scheduling.models import UpkeepRun
from scheduling.services.beat_submissions import read_request, submit_for_beat
from scheduling.services.partitions import maintain_partitions as make_partitions
from scheduling.services.upkeep.runs import run_upkeep as start_upkeep
from scheduling.worker.connections import check_connection
from tenants.context import Actor, acting_as
from tenants.selectors.tenants import find_tenant

SUBMIT_TASK = "scheduling.submit"


@shared_task(name=SUBMIT_TASK, bind=True)
def submit(self: Any, tenant: str, kind: str, payload: dict[str, Any] | None = None, **options: Any) -> str:
    """Submit one job of a tenant, named by its slug; the job's id. ``options`` are those of the API.

    Beat names its own row in the message's headers: of two beats' messages for one due time, one submits.
    """
    check_connection()
    with acting_as(Actor(kind="system", id="beat", label="beat")):
        request = read_request(kind, payload or {}, options)
        task_name = self.request.get("periodic_task_name") or ""
        job = submit_for_beat(task_name=task_name, tenant=find_tenant(slug=tenant), request=request)
        return str(job.id)


@shared_task(name=RUN_UPKEEP_TASK)
def run_upkeep(name: str) -> str:
    """Run one upkeep task within its time; asked for again at once while there is more to do. How it ended."""
    check_connection()
    try:
        run = start_upkeep(name=name, is_paced=True)
    except UpkeepBusyError:
        return "busy"
    if run.outcome == UpkeepRun.Outcome.PARTIAL:
        publish_upkeep(name)
    return str(run.outcome)


@shared_task(name="scheduling.maintain_partitions")
def maintain_partitions() -> list[str]:
    """Make the partitions of the days to come; the names of those that were made."""
    return make_partitions()
