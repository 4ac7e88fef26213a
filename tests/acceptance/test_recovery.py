"""Crashes of workers, dispatchers and brokers: no job is lost and none counts twice."""

from __future__ import annotations

import os
import signal
from collections import Counter
from datetime import timedelta

import pytest
import redis
from django.db import connection, transaction
from django.db.models.functions import Now

from scheduling.jobs.cancellation import cancel_job, cancel_jobs
from scheduling.models import Execution, Job, JobEvent, PoolClock, ProcessHeartbeat
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import event_names, executions_of, fetch, submit, wait_for, wait_for_all
from tests.acceptance.processes import eventually
from tests.brokers import empty_database
from tests.checks import faults_of

pytestmark = pytest.mark.core

# Twice the promised time, since other tests use the machine; `make chaos` measures the promise itself.
RESCUE_SECONDS = 30.0


def test_job_of_killed_process_runs_again(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "sleep", {"seconds": 5})
    wait_for(job, "executing")
    assert platform.worker is not None
    for child in platform.worker.children():
        os.kill(child, signal.SIGKILL)
    eventually(lambda: fetch(job).fence == 2, within=RESCUE_SECONDS, what="the job runs again")
    job = wait_for(job, "completed")
    assert [execution.outcome for execution in executions_of(job)] == ["crashed", "completed"]
    assert (job.attempt, job.crash_count) == (0, 1)
    assert platform.worker.is_running
    assert faults_of("ledger") == []


def test_jobs_of_killed_worker_run_again(platform: Platform, initech: Tenant) -> None:
    # Longer than any wait below, so that none ends before its worker does.
    jobs = submit(initech, "sleep", *[{"seconds": 300}] * 3)
    for job in jobs:
        wait_for(job, "executing")
    assert platform.worker is not None
    platform.worker.kill()
    platform.worker = platform.start_worker()
    eventually(lambda: all(fetch(job).fence == 2 for job in jobs), within=RESCUE_SECONDS, what="all three run again")
    for job in jobs:
        wait_for(job, "executing")
    # Three jobs ran in the worker, so the crash counts for none of them.
    assert [fetch(job).crash_count for job in jobs] == [0, 0, 0]
    with tenant_context(initech):
        cancel_jobs(job_ids=[job.pk for job in jobs])
    for job in jobs:
        wait_for(job, "cancelled")
    assert faults_of("ledger") == []


def test_stopping_worker_returns_running_jobs_without_counting_an_attempt(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "sleep", {"seconds": 10})
    (deaf,) = submit(acme, "allocate", {"mebibytes": 1, "seconds": 60})
    for running in (job, deaf):
        wait_for(running, "executing")
    assert platform.worker is not None
    assert platform.worker.stop() == 0
    for returned in (job, deaf):
        assert fetch(returned).state == "available"
        assert (fetch(returned).attempt, fetch(returned).crash_count) == (0, 0)
        assert [execution.outcome for execution in executions_of(returned)] == ["shutdown"]
    with tenant_context(acme):
        cancel_job(job_id=deaf.pk)
    platform.worker = platform.start_worker()
    wait_for(job, "completed")


@pytest.mark.parametrize("dispatchers", [2, 5])
def test_several_dispatchers_never_dispatch_a_job_twice(
    platform: Platform, acme: Tenant, initech: Tenant, dispatchers: int
) -> None:
    for _ in range(dispatchers - 1):
        platform.start_dispatcher()
    eventually(lambda: dispatchers_alive() >= dispatchers, within=START_SECONDS, what="all of them dispatch")
    jobs = submit(acme, "noop", *[{}] * 60) + submit(initech, "noop", *[{}] * 60)
    wait_for_all(jobs)
    with all_tenants():
        names = JobEvent.objects.filter(job_id__in=[job.pk for job in jobs]).values_list("job_id", "name")
        times = Counter(names)
    # A job that has not started when its message ends is returned and dispatched again.
    turns = [times[job.pk, "job.dispatched"] - times[job.pk, "execution.returned"] for job in jobs]
    assert turns == [1] * len(jobs)
    assert faults_of("ledger") == []


def test_killed_dispatcher_is_replaced(platform: Platform, acme: Tenant) -> None:
    platform.start_dispatcher()
    assert platform.dispatcher is not None
    platform.dispatcher.kill()
    wait_for_all(submit(acme, "noop", *[{}] * 10))


def test_dispatcher_suspended_in_mid_tick_is_replaced(platform: Platform, acme: Tenant) -> None:
    leader, other = platform.dispatcher, platform.start_dispatcher()
    assert leader is not None
    eventually(lambda: dispatchers_alive() >= 2, within=START_SECONDS, what="both dispatch")
    os.kill(other.pid, signal.SIGSTOP)  # so that this one is surely the first whose tick blocks
    is_stopped = False
    while not is_stopped:
        os.kill(leader.pid, signal.SIGCONT)
        with all_tenants(), transaction.atomic():
            list(PoolClock.objects.select_for_update().all())
            eventually(is_tick_blocked, what="a tick waits for the lock")
            os.kill(leader.pid, signal.SIGSTOP)
            # A tick waits only briefly.
            is_stopped = is_tick_blocked()
    os.kill(other.pid, signal.SIGCONT)
    try:
        # The suspended one holds the pool's lock in an open transaction, which the database ends after two seconds.
        wait_for_all(submit(acme, "noop", *[{}] * 5))
        assert leader.is_running
    finally:
        os.kill(leader.pid, signal.SIGCONT)
    wait_for_all(submit(acme, "noop", {}))
    assert faults_of("ledger") == []


def test_jobs_complete_although_broker_is_flushed_under_load(
    platform: Platform, acme: Tenant, initech: Tenant, acceptance_broker_url: str
) -> None:
    jobs = submit(acme, "sleep", *[{"seconds": 0.05}] * 60) + submit(initech, "sleep", *[{"seconds": 0.05}] * 60)
    with redis.Redis.from_url(acceptance_broker_url) as client:
        for part in range(1, 5):
            eventually(lambda part=part: count_completed(jobs) >= part * 20, what="more jobs complete")
            empty_database(client)
    wait_for_all(jobs)
    with all_tenants():
        completions = Execution.objects.filter(job_id__in=[job.pk for job in jobs], outcome="completed")
        assert completions.count() == len(jobs)
    assert faults_of("ledger") == []


def test_resumed_zombie_worker_has_no_effect(platform: Platform, acme: Tenant) -> None:
    (job,) = submit(acme, "sleep", {"seconds": 6})
    wait_for(job, "executing")
    zombie = platform.worker
    assert zombie is not None
    for pid in [zombie.pid, *zombie.children()]:
        os.kill(pid, signal.SIGSTOP)
    platform.worker = platform.start_worker()
    eventually(lambda: fetch(job).fence == 2, within=RESCUE_SECONDS, what="another worker runs the job")
    for pid in [*zombie.children(), zombie.pid]:
        os.kill(pid, signal.SIGCONT)
    wait_for(job, "completed")
    outcomes = [execution.outcome for execution in executions_of(job)]
    assert outcomes == ["crashed", "completed"]
    assert event_names(job).count("execution.completed") == 1
    assert zombie.stop() == 0


def dispatchers_alive() -> int:
    with all_tenants():
        heard = ProcessHeartbeat.objects.filter(
            role=ProcessHeartbeat.Role.DISPATCHER, heartbeat_at__gt=Now() - timedelta(seconds=10)
        )
        return heard.count()


def is_tick_blocked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


def count_completed(jobs: list[Job]) -> int:
    with all_tenants():
        return Execution.objects.filter(job_id__in=[job.pk for job in jobs], outcome="completed").count()
