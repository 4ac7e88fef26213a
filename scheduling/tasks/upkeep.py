"""What beat asks for: the platform's own upkeep, and jobs that operators schedule in beat's admin."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from celery import shared_task

from scheduling.broker import publish_upkeep
from scheduling.conf import RUN_UPKEEP_TASK
from scheduling.exceptions import UpkeepBusyError
from scheduling.message_signing import SUBMIT_TASK, TIME_HEADER, signing_time
from scheduling.models import UpkeepRun
from scheduling.services.beat_submissions import read_request, submit_for_beat
from scheduling.services.partitions import maintain_partitions as make_partitions
from scheduling.services.upkeep.runs import UpkeepTakenOverError, has_begun_since
from scheduling.services.upkeep.runs import run_upkeep as start_upkeep
from scheduling.services.upkeep.tenant_runs import run_tenant_upkeep
from scheduling.worker.connections import check_connection
from scheduling.worker.foreign import PlatformTask
from tenants.context import Actor, acting_as
from tenants.selectors.tenants import find_tenant

# Most that the clocks of two machines may differ before a run is taken for an answer to a message that it came before.
CLOCKS_APART_SECONDS = 60.0


@shared_task(base=PlatformTask, name=SUBMIT_TASK, bind=True)
def submit(self: Any, tenant: str, kind: str, payload: dict[str, Any] | None = None, **options: Any) -> str:
    """Submit one job of a tenant, named by its slug; the job's id. ``options`` are those of the API.

    Beat names its own row in the message's headers: of two beats' messages for one due time, one submits.
    """
    check_connection()
    with acting_as(Actor(kind="system", id="beat", label="beat")):
        job = submit_for_beat(
            task_name=self.request.get("periodic_task_name") or "",
            tenant=find_tenant(slug=tenant),
            request=read_request(kind, payload or {}, options),
            message_id=self.request.id or "",
            asked_at=_asked_at(self.request),
        )
        return str(job.id)


@shared_task(base=PlatformTask, name=RUN_UPKEEP_TASK, bind=True)
def run_upkeep(self: Any, name: str, tenant: str | None = None) -> str:
    """Run one upkeep task within its time, publish it again while there is more to do, and return how it ended.

    With a tenant's id continue the run that was requested over it. A message of the platform's upkeep that was signed
    long before the last run began asks for nothing new: it is late, or sent once more.
    """
    check_connection()
    if tenant is not None:
        return _continue_run(name, UUID(tenant))
    asked_at = _asked_at(self.request)
    if asked_at is not None:
        moment = datetime.fromtimestamp(asked_at + CLOCKS_APART_SECONDS, UTC)
        if has_begun_since(name=name, moment=moment):
            return "answered"
    try:
        run = start_upkeep(name=name, is_paced=True)
    except UpkeepBusyError:
        return "busy"
    if run.outcome == UpkeepRun.Outcome.PARTIAL:
        publish_upkeep(name)
    return str(run.outcome)


def _continue_run(name: str, tenant_id: UUID) -> str:
    try:
        run = run_tenant_upkeep(name=name, tenant_id=tenant_id)
    except UpkeepBusyError:
        return "busy"
    except UpkeepTakenOverError:
        return "taken over"  # or its tenant was erased
    if run.is_open:
        publish_upkeep(name, tenant_id)
    return str(run.outcome)


@shared_task(base=PlatformTask, name="scheduling.maintain_partitions")
def maintain_partitions() -> list[str]:
    """Make the partitions of the days to come; the names of those that were made."""
    return make_partitions()


def _asked_at(request: Any) -> float | None:
    """Return when the message was signed; None where the task is called without one."""
    return None if request.get(TIME_HEADER) is None else signing_time({TIME_HEADER: request.get(TIME_HEADER)})
