"""What beat asks for: the platform's own upkeep, and jobs that operators schedule in beat's admin."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from celery import shared_task

from scheduling.broker import publish_upkeep
from scheduling.conf import RUN_UPKEEP_TASK
from scheduling.exceptions import OptionInvalidError, UpkeepBusyError
from scheduling.models import UpkeepRun
from scheduling.services.job_requests import JobRequest
from scheduling.services.partitions import maintain_partitions as make_partitions
from scheduling.services.submission import submit_job
from scheduling.services.upkeep.runs import run_upkeep as start_upkeep
from scheduling.worker.connections import check_connection
from tenants.context import Actor, acting_as
from tenants.selectors.tenants import find_tenant

TIME_OPTIONS = ("run_at", "deadline")


@shared_task(name="scheduling.submit")
def submit(tenant: str, kind: str, payload: dict[str, Any] | None = None, **options: Any) -> str:
    """Submit one job of a tenant, named by its slug; the job's id. ``options`` are those of the API."""
    with acting_as(Actor(kind="system", id="beat", label="beat")):
        request = read_request(kind, payload or {}, options)
        return str(submit_job(tenant=find_tenant(slug=tenant), request=request).job.id)


def read_request(kind: str, payload: dict[str, Any], options: dict[str, Any]) -> JobRequest:
    """The request that an operator wrote into beat's admin, its times as ISO 8601 with a zone."""
    try:
        times = {name: datetime.fromisoformat(options[name]) for name in TIME_OPTIONS if options.get(name)}
        return JobRequest(kind=kind, payload=payload, **options | times)
    except (TypeError, ValueError) as error:
        raise OptionInvalidError(str(error)) from error


@shared_task(name=RUN_UPKEEP_TASK)
def run_upkeep(name: str) -> str:
    """Run one upkeep task within its time; asked for again at once while there is more to do. How it ended."""
    check_connection()
    try:
        run = start_upkeep(name=name)
    except UpkeepBusyError:
        return "busy"
    if run.outcome == UpkeepRun.Outcome.PARTIAL:
        publish_upkeep(name)
    return str(run.outcome)


@shared_task(name="scheduling.maintain_partitions")
def maintain_partitions() -> list[str]:
    """Make the partitions of the days to come; the names of those that were made."""
    return make_partitions()
