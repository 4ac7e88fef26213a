"""Stalled pools: one in which jobs wait and none starts is found, except if they wait by rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db.models import F
from django.db.models.functions import Now

from scheduling.diagnosis import starts
from scheduling.diagnosis.starts import StallWatch, find_stalled_pools
from scheduling.fleet.workers import Registration
from scheduling.models import Drain, Execution, FairShareNode, Job, LiveExecution, Queue, WorkerPool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, submit

pytestmark = pytest.mark.django_db

LONG_AGO = timedelta(seconds=20)
type Waiting = Callable[[], list[Job]]


@pytest.fixture
def wait_long(acme: Tenant, worker: Registration) -> Waiting:
    """Submit jobs that have waited for twenty seconds."""

    def wait() -> list[Job]:
        jobs = submit(acme, 2)
        with all_tenants():
            Job.objects.update(run_at=Now() - LONG_AGO)
        return jobs

    return wait


def test_pool_with_jobs_unread_by_any_tick_is_stalled(wait_long: Waiting) -> None:
    wait_long()
    assert find_stalled_pools() == ["default"]


def test_pool_with_a_runnable_tenant_is_stalled(wait_long: Waiting, tick: Tick) -> None:
    wait_long()
    with all_tenants():
        Queue.objects.update(is_paused=True)
        tick()
        assert FairShareNode.objects.filter(is_runnable=True).exists()
        Queue.objects.update(is_paused=False)
    assert find_stalled_pools() == ["default"]


@pytest.mark.parametrize("status", ["draining", "lost"])
def test_pool_without_an_online_worker_is_stalled(wait_long: Waiting, status: str) -> None:
    wait_long()
    with all_tenants():
        WorkerPool.objects.get(name="default").workers.update(status=status)
    assert find_stalled_pools() == ["default"]


def test_pool_is_not_stalled_while_its_jobs_are_new(acme: Tenant, worker: Registration) -> None:
    submit(acme)
    assert find_stalled_pools() == []


def test_pool_with_a_message_that_no_worker_starts_is_stalled(wait_long: Waiting, tick: Tick) -> None:
    wait_long()
    assert tick().dispatched == 2
    assert find_stalled_pools() == []
    with all_tenants():
        # Its message was published again in between.
        LiveExecution.objects.update(dispatched_at=Now() - LONG_AGO)
    assert find_stalled_pools() == ["default"]


def _pause_tenant() -> None:
    Tenant.objects.update(is_paused=True)


def _suspend_tenant() -> None:
    Tenant.objects.update(status="suspended")


def _cap_tenant() -> None:
    Tenant.objects.update(max_concurrency=0)


def _pause_queues() -> None:
    Queue.objects.update(is_paused=True)


def _cap_queues() -> None:
    Queue.objects.update(cap=0)


def _pause_pools() -> None:
    WorkerPool.objects.update(is_paused=True)


def _drain_pool() -> None:
    Drain.objects.create(scope="pool", name="default", started_at=Now())


@pytest.mark.parametrize(
    "stop", [_pause_tenant, _suspend_tenant, _cap_tenant, _pause_queues, _cap_queues, _pause_pools, _drain_pool]
)
def test_pool_is_not_stalled_while_its_jobs_wait_by_rule(wait_long: Waiting, stop: Callable[[], None]) -> None:
    wait_long()
    with all_tenants():
        stop()
    assert find_stalled_pools() == []


def test_pool_is_not_stalled_behind_the_rate_of_its_queue(wait_long: Waiting) -> None:
    wait_long()
    with all_tenants():
        Queue.objects.update(dispatches_per_minute=1, dispatch_burst=1)
        for queue in Queue.objects.select_related("clock"):
            queue.clock.arrival_us = 4_102_444_800_000_000  # 2100
            queue.clock.save()
    assert find_stalled_pools() == []


def test_pool_is_not_stalled_without_a_free_slot(wait_long: Waiting, tick: Tick, start: Start) -> None:
    jobs = wait_long()
    tick()
    for job in jobs:
        begin(start, job)
    wait_long()
    with all_tenants():
        LiveExecution.objects.update(started_at=Now() - LONG_AGO)
        assert find_stalled_pools() == ["default"]
        type_of_worker = WorkerPool.objects.get(name="default").workers
        type_of_worker.update(slots=2)
    assert find_stalled_pools() == []


def test_pool_is_not_stalled_after_a_recent_start(wait_long: Waiting, tick: Tick, start: Start) -> None:
    first, second = wait_long()
    tick()
    begin(start, first)
    wait_long()
    assert find_stalled_pools() == []
    complete(start, second)
    with all_tenants():
        LiveExecution.objects.update(started_at=Now() - LONG_AGO)
        assert find_stalled_pools() == []
        Execution.objects.update(started_at=F("started_at") - LONG_AGO)
    assert find_stalled_pools() == ["default"]


def test_stall_is_reported_at_the_second_look(wait_long: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_long()
    seconds = iter([100.0, 101.0, 102.0])
    monkeypatch.setattr(starts, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    watch = StallWatch()
    assert watch.read() == ()
    assert watch.read() == ()  # cached
    assert watch.read() == ("default",)
