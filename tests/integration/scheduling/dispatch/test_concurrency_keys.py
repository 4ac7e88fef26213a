"""Concurrency keys: at most the kind's limit of a tenant's jobs with one key are in flight."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from scheduling.bulk.moves import move_jobs
from scheduling.execution import settlement_builders
from scheduling.execution.rescue import run_sweep
from scheduling.execution.settlement import settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.retries import retry_job
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.jobs.tenant_queue import TenantIsolatedTaskQueue
from scheduling.kit import registry
from scheduling.models import (
    ConcurrencyKey,
    ConcurrencyKeyNews,
    Job,
    JobHeld,
    JobReady,
    LiveExecution,
    Queue,
    WorkerPool,
)
from scheduling.stops.pauses import pause_kind, resume_kind
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import (
    Start,
    Tick,
    begin,
    complete,
    fail,
    in_flight,
    reasons_of,
    reload,
    submit,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let two noop jobs of a key run at once."""
    monkeypatch.setattr(registry.get("noop"), "concurrency_limit", 2)
    registry.reset()
    yield
    monkeypatch.undo()
    registry.reset()


def counts() -> dict[str, int]:
    with all_tenants():
        return dict(ConcurrencyKey.objects.values_list("concurrency_key", "in_flight"))


def parked() -> int:
    with all_tenants():
        return JobHeld.objects.filter(gate__startswith="cap ").count()


def ready() -> int:
    with all_tenants():
        return JobReady.objects.count()


def flying(*jobs: Job) -> list[int]:
    """Return the places of the jobs that are in flight."""
    ids = [job.pk for job in in_flight()]
    return [place for place, job in enumerate(jobs) if job.pk in ids]


def move_to(queue: Queue, *jobs: Job) -> None:
    with all_tenants():
        assert len(move_jobs({job.pk: queue.pk for job in jobs}, reason="test")) == len(jobs)


def test_jobs_of_a_key_run_one_at_a_time_in_their_order(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    jobs = submit(acme, 3, concurrency_key="a")
    for place, job in enumerate(jobs):
        tick()
        tick()
        assert flying(*jobs) == [place]
        assert counts() == {"a": 1}
        complete(start, job)
    tick()
    assert counts() == {}
    assert parked() == 0


def test_blocked_key_hides_no_other_job_of_its_line(acme: Tenant, worker: Registration, tick: Tick) -> None:
    jobs = submit(acme, 50, concurrency_key="a")
    other, free = submit(acme, 1, concurrency_key="b")[0], submit(acme, 2)
    tick()
    assert flying(jobs[0], other, *free) == [0, 1, 2, 3]
    assert len(in_flight()) == 4
    assert (parked(), ready()) == (49, 0)


def test_limit_of_the_kind_applies(
    acme: Tenant, worker: Registration, tick: Tick, start: Start, two_at_once: None
) -> None:
    jobs = submit(acme, 5, concurrency_key="a")
    tick()
    assert flying(*jobs) == [0, 1]
    complete(start, jobs[1])
    tick()
    assert flying(*jobs) == [0, 2]
    assert counts() == {"a": 2}


def test_keys_of_tenants_and_kinds_are_apart(acme: Tenant, globex: Tenant, worker: Registration, tick: Tick) -> None:
    jobs = [
        submit(acme, 1, concurrency_key="a")[0],
        submit(globex, 1, concurrency_key="a")[0],
        submit(acme, 1, kind="sleep", payload={"seconds": 0}, concurrency_key="a")[0],
    ]
    tick()
    assert flying(*jobs) == [0, 1, 2]


def test_work_of_a_tick_is_bounded_behind_a_long_backlog_of_a_key(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    jobs = [job for _ in range(3) for job in submit(acme, 1_000, concurrency_key="a")]
    tick()
    for place in range(3):
        assert flying(*jobs) == [place]
        assert (parked(), ready()) == (2_999 - place, 0)
        complete(start, jobs[place])
        tick()


def test_higher_priority_comes_first_within_a_key(acme: Tenant, worker: Registration, tick: Tick, start: Start) -> None:
    jobs = submit(acme, 3, concurrency_key="a")
    tick()
    urgent = submit(acme, 1, concurrency_key="a", priority=3)[0]
    complete(start, jobs[0])
    tick()
    assert flying(urgent, *jobs) == [0]


def test_retry_gives_the_place_back_and_waits_for_it(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    first, second = submit(acme, 2, concurrency_key="a")
    tick()
    fail(start, first)
    tick()
    assert flying(first, second) == [1]
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_job_due SET due_at = now()")
    tick()
    assert flying(first, second) == [1]
    tick()
    assert (parked(), ready()) == (1, 0)
    complete(start, second)
    tick()
    assert flying(first, second) == [0]


def test_returned_job_keeps_its_turn(acme: Tenant, worker: Registration, tick: Tick, start: Start) -> None:
    first, second = submit(acme, 2, concurrency_key="a")
    tick()
    started = begin(start, first)
    settle([settlement_builders.yielded(started.execution_id, started.fence, {"at": 1})])
    tick()
    assert flying(first, second) == [0]
    assert counts() == {"a": 1}


def test_lost_worker_frees_the_place(acme: Tenant, worker: Registration, tick: Tick, start: Start) -> None:
    first, _ = submit(acme, 2, concurrency_key="a", max_retries=0)
    tick()
    begin(start, first)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_execution_live SET lease_expires_at = now() - interval '1 s'")
    run_sweep()
    tick()
    assert len(in_flight()) == 1
    assert counts() == {"a": 1}


def test_refused_message_frees_the_place(acme: Tenant, worker: Registration, tick: Tick) -> None:
    first, second = submit(acme, 2, concurrency_key="a")
    tick()
    with all_tenants():
        live = LiveExecution.objects.get()
    settle([settlement_builders.unpublished(live.id, live.fence)])
    tick()
    assert flying(first, second) == [0]
    assert counts() == {"a": 1}


@pytest.mark.parametrize("how", ["cancel", "suspend"])
def test_next_job_follows_one_that_leaves_before_its_dispatch(
    acme: Tenant, worker: Registration, tick: Tick, start: Start, how: str
) -> None:
    others = submit(acme, 4)
    tick()
    first, second = submit(acme, 2, concurrency_key="a")
    tick()
    assert (parked(), ready()) == (1, 1)
    with tenant_context(acme):
        if how == "cancel":
            cancel_jobs(job_ids=[first.pk])
        else:
            suspend_job(job_id=first.pk)
    for job in others:
        complete(start, job)
    tick()
    assert flying(first, second) == [1]
    if how == "suspend":
        complete(start, second)
        with tenant_context(acme):
            resume_job(job_id=first.pk)
        tick()
        assert flying(first, second) == [0]


def test_paused_queue_blocks_no_job_of_the_key_in_another(
    acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, start: Start
) -> None:
    first, second, third = submit(acme, 3, concurrency_key="a")
    queue = Queue.objects.exclude(pk=first.queue_id).filter(pool=pool).first()
    assert queue is not None
    move_to(queue, second)
    with all_tenants():
        Queue.objects.filter(pk=first.queue_id).update(is_paused=True)
    tick()
    assert flying(first, second, third) == [1]
    with all_tenants():
        Queue.objects.filter(pk=first.queue_id).update(is_paused=False)
    tick()
    assert flying(first, second, third) == [1]
    complete(start, second)
    tick()
    assert flying(first, second, third) == [0]


def test_two_queues_with_jobs_of_a_key_do_not_exceed_its_limit(
    acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, start: Start
) -> None:
    first, second = submit(acme, 2, concurrency_key="a")
    queue = Queue.objects.exclude(pk=first.queue_id).filter(pool=pool).first()
    assert queue is not None
    move_to(queue, second)
    for _ in range(3):
        tick()
    assert len(in_flight()) == 1
    assert counts() == {"a": 1}
    complete(start, in_flight()[0])
    tick()
    assert len(in_flight()) == 1


def test_key_waits_for_its_paused_kind(acme: Tenant, worker: Registration, tick: Tick) -> None:
    jobs = submit(acme, 3, concurrency_key="a")
    pause_kind(kind="noop", reason="test")
    for _ in range(5):
        tick()
    assert in_flight() == []
    assert parked() == 2
    resume_kind(kind="noop")
    tick()
    assert flying(*jobs) == [0]


def test_due_jobs_of_a_key_are_set_aside(acme: Tenant, worker: Registration, tick: Tick, two_at_once: None) -> None:
    submit(acme, 30, concurrency_key="a", run_at=timezone.now() + timedelta(hours=1))
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_job_due SET due_at = now()")
    tick()
    tick()
    assert len(in_flight()) == 2
    assert (parked(), ready()) == (28, 0)


def test_pulled_tasks_respect_the_key(acme: Tenant, worker: Registration) -> None:
    submit(acme, 3, concurrency_key="a")
    queue = TenantIsolatedTaskQueue(acme, "noop")
    assert queue.pull_tasks(3) == 1
    assert queue.pull_tasks(3) == 0


def test_explanation_names_the_key(acme: Tenant, worker: Registration, tick: Tick) -> None:
    first, second = submit(acme, 2, concurrency_key="a")
    tick()
    with tenant_context(acme):
        assert [reason.code for reason in reasons_of(reload(second))] == ["key_cap_reached"]
        cancel_jobs(job_ids=[first.pk])
        tick()


def test_child_jobs_and_replays_keep_the_key(acme: Tenant, worker: Registration) -> None:
    job = submit(acme, 1, concurrency_key="a")[0]
    with tenant_context(acme):
        cancel_jobs(job_ids=[job.pk])
        again = retry_job(job_id=job.pk).job
    assert again.concurrency_key == "a"


def test_jobs_without_keys_write_no_rows_of_keys(acme: Tenant, worker: Registration, tick: Tick, start: Start) -> None:
    jobs = submit(acme, 3)
    tick()
    complete(start, jobs[0])
    with all_tenants():
        assert not ConcurrencyKeyNews.objects.exists()
        assert not ConcurrencyKey.objects.exists()
