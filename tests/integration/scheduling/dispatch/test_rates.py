"""Rates: a queue's jobs per minute are limited over all dispatchers; its siblings are not affected."""

from __future__ import annotations

import pytest

from scheduling.fairness.gcra import Rate
from scheduling.fleet.workers import Registration
from scheduling.models import Job, PoolClock, Queue, QueueClock
from scheduling.topology.service import update_queue
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, in_flight, submit

pytestmark = pytest.mark.django_db

TEAM = "tasks_team"


@pytest.fixture
def rated(db: None) -> Queue:
    """Give acme's queue a burst of three jobs and then one a second."""
    queue = Queue.objects.get(name=TEAM)
    return update_queue(queue=queue, changes={"dispatches_per_minute": 60, "dispatch_burst": 3})


def rest(seconds: float) -> None:
    """Let time pass for the rates."""
    with all_tenants():
        for clock in QueueClock.objects.all():
            clock.arrival_us -= int(seconds * 1_000_000)
            clock.save()


def test_rate_allows_a_burst_and_then_one_a_second(
    acme: Tenant, rated: Queue, tick: Tick, worker: Registration, start: Start
) -> None:
    submit(acme, 20)
    assert [tick().dispatched for _ in range(3)] == [3, 0, 0]
    for job in in_flight():
        complete(start, job)
    rest(2.0)
    assert [tick().dispatched for _ in range(2)] == [2, 0]


def test_rest_earns_at_most_the_burst(acme: Tenant, rated: Queue, tick: Tick, worker: Registration) -> None:
    submit(acme, 20)
    rest(3_600)
    assert tick().dispatched == 3


def test_rate_of_a_queue_does_not_delay_other_queues(
    acme: Tenant, globex: Tenant, rated: Queue, tick: Tick, worker: Registration, start: Start
) -> None:
    submit(acme, 10)
    submit(globex, 10)
    for _ in range(8):
        tick()
        for job in in_flight():
            complete(start, job)
    ran = {tenant.pk: 0 for tenant in (acme, globex)}
    with all_tenants():
        for job in submitted(acme) + submitted(globex):
            ran[job.tenant_id] += job.state == "completed"
    assert ran == {acme.pk: 3, globex.pk: 10}


def test_queue_waiting_for_its_rate_earns_no_credit(
    acme: Tenant, globex: Tenant, rated: Queue, tick: Tick, worker: Registration, start: Start
) -> None:
    """Return the queue to its siblings' virtual time, however long it waited."""
    submit(acme, 10)
    submit(globex, 30)
    for _ in range(10):
        tick()
        for job in in_flight():
            complete(start, job)
    with all_tenants():
        assert not QueueClock.objects.get(queue=rated).was_backlogged
        others = 10**15
        PoolClock.objects.filter(pool=rated.pool).update(virtual_time=others)
    rest(10.0)
    assert tick().dispatched
    with all_tenants():
        assert QueueClock.objects.get(queue=rated).vruntime >= others


def test_queue_without_a_rate_is_unlimited(acme: Tenant, rated: Queue, tick: Tick, worker: Registration) -> None:
    update_queue(queue=rated, changes={"dispatches_per_minute": None})
    submit(acme, 20)
    assert tick().dispatched == 4


@pytest.mark.parametrize(("per_minute", "burst", "expected"), [(1, None, 2), (600, None, 10), (600, 1, 1)])
def test_default_burst_is_one_second_of_the_rate(per_minute: int, burst: int | None, expected: int) -> None:
    rate = Rate.of_queue(per_minute, burst)
    assert rate.burst == expected
    assert rate.interval_us * per_minute >= 60_000_000


def submitted(tenant: Tenant) -> list[Job]:
    return list(Job.objects.filter(tenant=tenant))
