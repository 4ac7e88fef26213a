"""The Celery tasks that workers run: executions, canaries, upkeep, and submissions by beat.

Every process registers them, and only workers run them: each imports what it needs when it runs. `run_worker` has
imported all of it before it forks.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from billiard import current_process
from celery import shared_task
from celery.exceptions import Reject

from scheduling.celery.external_processes import PlatformTask
from scheduling.celery.publishing import SUBMIT_TASK, TIME_HEADER, publish_upkeep, signing_time
from scheduling.conf import CANARY_TASK, EXECUTE_TASK, MAX_MESSAGE_JOBS, RUN_UPKEEP_TASK
from scheduling.exceptions import UpkeepBusyError
from scheduling.models import UpkeepRun
from scheduling.worker.process_state import check_connection
from tenants.context import Actor, acting_as
from tenants.tenancy.queries import find_tenant


@shared_task(base=PlatformTask, name=CANARY_TASK)
def canary(*args: Any, **kwargs: Any) -> None:
    """Record in shared memory that a child has read canary number ``args[0]``; ignore any other arguments."""
    from scheduling.worker.local_worker import local_worker

    match args:
        case (int(number),) if not kwargs:
            local_worker().block.answer_canary(number)


logger = logging.getLogger(__name__)


@shared_task(base=PlatformTask, name=EXECUTE_TASK)
def execute(*args: Any, **kwargs: Any) -> None:
    """Run the executions that a message names with ``(execution_ids, token)``.

    A worker accepts only messages that the platform signed. A repeated or late message does nothing: the arguments are
    only ids, and an execution starts only once, with its current token.
    """
    from scheduling.execution.message import execute as execute_message
    from scheduling.worker.local_worker import local_worker

    hint = read_hint(args, kwargs)
    if hint is None:
        logger.warning("message.malformed")
        return
    worker = local_worker()
    if worker.block.is_stopping:
        raise Reject("the worker is stopping", requeue=True)
    execution_ids, token = hint
    execute_message(execution_ids=execution_ids, token=token, child_index=current_process().index, worker=worker)


def read_hint(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[UUID], UUID] | None:
    """Return the execution ids and the token of a message; None for arguments that the dispatcher does not send."""
    match args:
        case ([*texts], str(token)) if not kwargs and 0 < len(texts) <= MAX_MESSAGE_JOBS:
            ids = [_uuid(text) for text in texts]
            token_id = _uuid(token)
            if token_id is None or None in ids:
                return None
            return [id_ for id_ in ids if id_ is not None], token_id
    return None


def _uuid(text: Any) -> UUID | None:
    if not isinstance(text, str):
        return None
    try:
        return UUID(text)
    except ValueError:
        return None


# The largest difference of two machines' clocks, in seconds: a run that began within it may be older than the message.
CLOCKS_APART_SECONDS = 60.0


@shared_task(base=PlatformTask, name=SUBMIT_TASK, bind=True)
def submit(self: Any, tenant: str, kind: str, payload: dict[str, Any] | None = None, **options: Any) -> str:
    """Submit one job of a tenant, named by its slug, and return the job's id; ``options`` are those of the API.

    The message's headers name beat's periodic task: of two messages for one due time, only one submits a job.
    """
    from scheduling.schedules.beat_submissions import read_request, submit_beat_task

    check_connection()
    with acting_as(Actor(kind="system", id="beat", label="beat")):
        job_id = submit_beat_task(
            task_name=self.request.get("periodic_task_name") or "",
            tenant=find_tenant(slug=tenant),
            request=read_request(kind, payload or {}, options),
            message_id=self.request.id or "",
            asked_at=_asked_at(self.request),
        )
        return str(job_id)


@shared_task(base=PlatformTask, name=RUN_UPKEEP_TASK, bind=True)
def run_upkeep(self: Any, name: str, tenant: str | None = None) -> str:
    """Run one upkeep task within its time limit and return its outcome; publish a message to continue if work remains.

    With a tenant's id, continue the run that was requested for the tenant. Return "answered" for a message of the
    platform's upkeep that was signed long before the last run began: it is late or repeated.
    """
    from scheduling.upkeep.runs import has_begun_since
    from scheduling.upkeep.runs import run_upkeep as start_upkeep

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
    from scheduling.upkeep.runs import UpkeepTakenOverError
    from scheduling.upkeep.tenant_runs import run_tenant_upkeep

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
    """Create the partitions of the coming days; return their names."""
    from scheduling.upkeep.partitions import maintain_partitions as make_partitions

    return make_partitions()


def _asked_at(request: Any) -> float | None:
    """Return when the message was signed; None if the task was called without one."""
    return None if request.get(TIME_HEADER) is None else signing_time({TIME_HEADER: request.get(TIME_HEADER)})
