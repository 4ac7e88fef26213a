"""An I/O pool with real processes: many waiting jobs share one, and its death or a blocked loop costs them nothing."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from scheduling.execution.logs.queries import read_log
from scheduling.fleet.workers import drain_worker
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import Job, Worker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.tenancy.service import update_tenant
from tests.acceptance.helpers import executions_of, fetch, submit, wait_for, wait_for_all
from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.serving import START_SECONDS, Platform, is_ready
from tests.chaos.plugin.apps import ChaosConfig
from tests.processors import added_processor

pytestmark = pytest.mark.slow

POOL = "io"
KIND = "chaos_patient"
SLOTS = 220
PLUGIN = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings"}


@pytest.fixture
def io_worker(platform: Platform) -> Iterator[ManagedProcess]:
    """Start a dispatcher and a worker of the pool that have the chaos plug-in, in place of the previous ones."""
    for before in (platform.dispatcher, platform.worker):
        assert before is not None
        before.stop()
    platform.start_dispatcher(**PLUGIN)
    worker = platform.begin_worker(concurrency=SLOTS, pool=POOL, **PLUGIN)
    eventually(lambda: is_ready(worker) or not worker.is_running, within=START_SECONDS, what="the worker is ready")
    with ExitStack() as added:
        for path in ChaosConfig.processors:
            added.enter_context(added_processor(path))
        yield worker
    assert "Traceback" not in worker.log, worker.log


def submit_many(tenant: Tenant, number: int, **payload: Any) -> list[Job]:
    update_tenant(tenant=tenant, changes={"max_concurrency": number})
    return submit(tenant, KIND, *[{"seconds": 600, **payload}] * number)


def begun(jobs: Sequence[Job], *, without: int = 0) -> set[int]:
    """Return the processes of the jobs, once all have begun in others than ``without``."""
    rows: list[tuple[str, dict[str, int]]] = []

    def are_begun() -> bool:
        with all_tenants():
            rows[:] = Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("state", "checkpoint")
        return all(state == "executing" and pid_of(checkpoint) not in {0, without} for state, checkpoint in rows)

    try:
        eventually(are_begun, what="all jobs have begun")
    except AssertionError as error:
        error.add_note(str(Counter((state, pid_of(checkpoint)) for state, checkpoint in rows)))
        raise
    return {pid_of(checkpoint) for _, checkpoint in rows}


def pid_of(checkpoint: dict[str, int] | None) -> int:
    return (checkpoint or {}).get("pid", 0)


def cancel_all(jobs: Sequence[Job]) -> None:
    for tenant_id in {job.tenant_id for job in jobs}:
        with tenant_context(tenant_id):
            cancel_jobs(job_ids=[job.pk for job in jobs if job.tenant_id == tenant_id])
    eventually(lambda: {fetch(job).state for job in jobs} == {"cancelled"}, what="all are cancelled")


def counts(jobs: Sequence[Job]) -> set[tuple[int, int]]:
    return {(fetch(job).attempt, fetch(job).crash_count) for job in jobs}


def outcomes(job: Job) -> list[str]:
    return [execution.outcome for execution in executions_of(job)]


def test_death_of_a_process_with_200_jobs_of_two_tenants_costs_none_of_them_an_attempt(
    io_worker: ManagedProcess, acme: Tenant, globex: Tenant
) -> None:
    jobs = [*submit_many(acme, 100), *submit_many(globex, 100)]
    (pid,) = begun(jobs)
    assert io_worker.children() == [pid]
    os.kill(pid, signal.SIGKILL)
    (next_pid,) = begun(jobs, without=pid)
    assert io_worker.children() == [next_pid]
    assert counts(jobs) == {(0, 0)}
    assert {tuple(outcomes(job)) for job in jobs} == {("returned",)}
    cancel_all(jobs)
    assert io_worker.children() == [next_pid]


def test_job_that_blocks_the_loop_is_named_in_its_log(io_worker: ManagedProcess, acme: Tenant) -> None:
    job = wait_for(submit(acme, KIND, {"seconds": 0.5, "blocks": True})[0], "completed")
    with tenant_context(acme):
        (line,) = read_log(job, limit=10).lines
    assert line.message == "blocked the event loop"
    assert line.fields["milliseconds"] >= 500


def test_job_that_blocks_the_loop_for_long_is_ended_and_named(
    io_worker: ManagedProcess, acme: Tenant, globex: Tenant
) -> None:
    others = submit_many(globex, 20)
    (pid,) = begun(others)
    (culprit,) = submit(acme, KIND, {"seconds": 60, "blocks": True})
    failed = wait_for(culprit, "discarded")
    assert (failed.error_type, outcomes(culprit)) == ("loop_blocked", ["failed"])
    begun(others, without=pid)
    assert counts(others) == {(0, 0)}
    cancel_all(others)


def test_waiting_job_is_stopped_at_its_time_limit_without_the_loss_of_its_process(
    io_worker: ManagedProcess, acme: Tenant
) -> None:
    (pid,) = io_worker.children()
    job = wait_for(submit(acme, "chaos_waiting", {"seconds": 60})[0], "discarded")
    assert (job.error_type, outcomes(job)) == ("timed_out", ["timed_out"])
    assert io_worker.children() == [pid]


def test_job_whose_thread_does_not_end_at_its_time_limit_ends_the_process(
    io_worker: ManagedProcess, acme: Tenant, globex: Tenant
) -> None:
    others = submit_many(globex, 20)
    (pid,) = begun(others)
    (culprit,) = submit(acme, "chaos_waiting", {"seconds": 600, "holds_thread": True})
    failed = wait_for(culprit, "discarded")
    assert (failed.error_type, outcomes(culprit)) == ("timed_out", ["timed_out"])
    begun(others, without=pid)
    assert counts(others) == {(0, 0)}
    cancel_all(others)


def test_worker_that_stops_returns_its_waiting_jobs(io_worker: ManagedProcess, acme: Tenant) -> None:
    jobs = submit_many(acme, 100)
    begun(jobs)
    io_worker.ask_to_stop()
    io_worker.wait()
    assert {tuple(outcomes(job)) for job in jobs} == {("shutdown",)}
    assert counts(jobs) == {(0, 0)}
    assert "execution.child_killed" not in io_worker.log
    cancel_all(jobs)


def test_drained_worker_of_two_processes_finishes_its_jobs(
    io_worker: ManagedProcess, platform: Platform, acme: Tenant
) -> None:
    io_worker.stop()
    options = (f"--pool={POOL}", "--slots=20", "--processes=2", "--exit-when-drained")
    worker = platform.start("run_worker", *options, **PLUGIN)
    eventually(lambda: is_ready(worker) or not worker.is_running, within=START_SECONDS, what="the worker is ready")
    jobs = submit_many(acme, 10, seconds=8)
    assert begun(jobs) == set(worker.children())
    with all_tenants():
        drain_worker(worker_id=Worker.objects.get(pid=worker.pid).pk)
    wait_for_all(jobs)
    assert worker.wait() == 0
