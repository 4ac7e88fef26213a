"""Rolling deploys that bring or remove a job kind lose no job, whichever process is replaced first."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from scheduling.jobs.waits.reasons import why_waiting
from scheduling.models import DeadLetter, Job, Worker, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import event_names, executions_of, fetch, submit, wait_for, wait_for_all
from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.serving import is_ready
from tests.installing import found_by_this_process

pytestmark = pytest.mark.slow

KIND = "acme_word_count"
PAYLOAD: dict[str, Any] = {"texts": ["to be or", "not to be"]}


def start_new_worker(platform: Platform, folder: Path) -> ManagedProcess:
    """Start a worker of the release with the example's kinds."""
    worker = platform.begin_worker(PYTHONPATH=str(folder))
    eventually(lambda: is_ready(worker) or not worker.is_running, within=START_SECONDS, what="the worker is ready")
    return worker


def reasons(tenant: Tenant, job: Job) -> list[str]:
    with tenant_context(tenant):
        waiting = why_waiting(Job.objects.get(pk=job.pk))
    return [] if waiting is None else [reason.code for reason in waiting.reasons]


def await_expired_workers() -> None:
    """Return once no killed worker counts as live."""

    def kinds() -> list[str]:
        return WorkerPool.objects.get(name="default").kinds or []

    eventually(lambda: KIND not in kinds(), what="no live worker announces the kind")


def dead_letters(tenant: Tenant) -> int:
    with tenant_context(tenant):
        return DeadLetter.objects.count()


def started_at(worker: ManagedProcess) -> float:
    with all_tenants():
        return Worker.objects.get(pid=worker.pid).started_at.timestamp()


def test_jobs_of_a_new_kind_wait_for_the_first_new_worker(
    platform: Platform, acme: Tenant, example_folder: Path
) -> None:
    await_expired_workers()
    # The web process is new, dispatcher and workers are old.
    with found_by_this_process(example_folder):
        jobs = [job for _ in range(20) for job in submit(acme, KIND, PAYLOAD)]
    (other,) = submit(acme, "noop")
    wait_for(other, "completed")
    eventually(lambda: reasons(acme, jobs[0]) == ["kind_unknown"], what="the reason is shown")
    assert {fetch(job).state for job in jobs} == {"available"}

    # Old and new workers serve the same queues: each job runs on a new one.
    new = start_new_worker(platform, example_folder)
    wait_for_all(jobs)
    assert dead_letters(acme) == 0
    assert {fetch(job).attempt for job in jobs} == {0}
    first = min(execution.dispatched_at.timestamp() for job in jobs for execution in executions_of(job))
    assert first - started_at(new) < 1.0
    outcomes = {execution.outcome for job in jobs for execution in executions_of(job)}
    assert outcomes <= {"completed", "put_off"}


def test_jobs_of_removed_kind_wait_for_rollback(platform: Platform, acme: Tenant, example_folder: Path) -> None:
    await_expired_workers()
    # The web process is old and has the kind; the workers are new and lack it.
    with found_by_this_process(example_folder):
        (job,) = submit(acme, KIND, PAYLOAD)
        eventually(lambda: reasons(acme, job) == ["kind_unknown"], what="the reason is shown")
        time.sleep(2.0)  # long enough for a dispatcher to dispatch it by mistake
        assert (fetch(job).state, executions_of(job)) == ("available", [])
        # The rollback restores the kind; the worker without it stops.
        rolled_back = start_new_worker(platform, example_folder)
        assert platform.worker is not None
        platform.worker.stop()
        wait_for(job, "completed")
        assert event_names(job).count("job.discarded") == 0

        # Its last worker stops, and the next job waits again.
        rolled_back.stop()
        platform.restart_stopped()
        await_expired_workers()
        (late,) = submit(acme, KIND, PAYLOAD)
        eventually(lambda: reasons(acme, late) == ["kind_unknown"], what="the reason is shown again")
    assert dead_letters(acme) == 0
