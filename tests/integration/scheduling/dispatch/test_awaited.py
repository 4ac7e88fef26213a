"""What a tick says its pool waits for: a slot that comes free, jobs that come, or either."""

from __future__ import annotations

import pytest

from scheduling.dispatch.claim import Awaited
from scheduling.dispatch.tick import run_tick
from scheduling.fleet.workers import Registration
from scheduling.models import CFSPlan, Queue, WorkerPool
from scheduling.plans.service import activate_cfs_plan
from scheduling.topology.service import create_queue, create_routing_rule, create_worker_pool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.acts import Start, Tick, complete, submit

pytestmark = pytest.mark.django_db

SLOTS = 4


@pytest.fixture(autouse=True)
def roomy(acme: Tenant, globex: Tenant) -> None:
    """Tenants that no cap keeps from all slots, unless a test says so."""
    with all_tenants():
        Tenant.objects.filter(pk__in=[acme.pk, globex.pk]).update(max_concurrency=10)


def cap(tenant: Tenant, most: int) -> None:
    with all_tenants():
        Tenant.objects.filter(pk=tenant.pk).update(max_concurrency=most)


def test_where_slots_are_left_jobs_are_awaited(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme, SLOTS - 1)
    assert tick().awaited is Awaited.JOBS


def test_where_none_is_left_for_somebody_an_end_is_awaited(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme, SLOTS + 1)
    assert tick().awaited is Awaited.ENDS
    submit(acme)
    assert tick().awaited is Awaited.ENDS


def test_where_the_last_slot_is_taken_and_nobody_is_left_either_may_come_first(
    acme: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    first, *_ = submit(acme, SLOTS)
    assert tick().awaited is Awaited.EITHER
    complete(start, first)
    assert tick().awaited is None


def test_a_pool_without_workers_awaits_no_jobs(acme: Tenant, pool: WorkerPool) -> None:
    submit(acme)
    assert run_tick(pool.pk).awaited is Awaited.ENDS


def test_whoever_is_held_at_its_cap_awaits_an_end_while_slots_are_left(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    cap(acme, 1)
    first, _ = submit(acme, 2)
    assert tick().awaited is Awaited.EITHER
    # Another's job is handed out by a tick that does not look at whoever is held.
    submit(globex)
    assert tick().awaited is Awaited.EITHER
    complete(start, first)
    assert tick().dispatched == 1
    # Held again, but by its last job: nobody waits.
    submit(globex)
    assert tick().awaited is Awaited.JOBS


def test_a_cap_that_keeps_no_job_waiting_awaits_nothing(acme: Tenant, worker: Registration, tick: Tick) -> None:
    cap(acme, 1)
    submit(acme)
    assert tick().awaited is Awaited.JOBS


def test_whoever_waits_in_another_pool_for_its_own_end_here_is_seen(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick
) -> None:
    cap(acme, 1)
    create_worker_pool(name="far")
    far = create_queue(name="far", pool="far")
    submit(acme)
    assert tick().awaited is Awaited.JOBS
    create_routing_rule(values={"position": 1, "kind": "sleep", "queue": far})
    submit(acme, kind="sleep", payload={"seconds": 0})
    run_tick(far.pool_id)
    submit(globex)
    assert tick().awaited is Awaited.EITHER


@pytest.mark.parametrize("limit", [{"cap": 1}, {"dispatches_per_minute": 1, "dispatch_burst": 1}])
def test_a_queue_without_room_awaits_an_end(
    acme: Tenant, worker: Registration, tick: Tick, limit: dict[str, int]
) -> None:
    (job,) = submit(acme)
    with all_tenants():
        Queue.objects.filter(pk=job.queue_id).update(**limit)
    submit(acme, 2)
    assert tick().awaited is Awaited.EITHER


def test_a_reserve_may_be_free_at_an_end(acme: Tenant, globex: Tenant, worker: Registration, tick: Tick) -> None:
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"))
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(strategy=CFSPlan.Strategy.TIME_SLICE, reserved_slots=1)
    submit(acme)
    assert tick().awaited is Awaited.EITHER


def test_a_tick_that_looks_at_nobody_says_nothing(acme: Tenant, worker: Registration, tick: Tick) -> None:
    assert tick().awaited is None
