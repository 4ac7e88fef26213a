"""The event that a tick's pool waits for: a freed slot, new jobs, or either."""

from __future__ import annotations

import pytest

from scheduling.dispatch.claim import NextTickTrigger
from scheduling.dispatch.tick import run_tick
from scheduling.fleet.workers import Registration
from scheduling.models import CFSPlan, Queue, WorkerPool
from scheduling.plans.service import activate_cfs_plan
from scheduling.topology.service import create_queue, create_routing_rule, create_worker_pool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, submit

pytestmark = pytest.mark.django_db

SLOTS = 4


@pytest.fixture(autouse=True)
def uncapped_tenants(acme: Tenant, globex: Tenant) -> None:
    """Create tenants without caps, unless a test sets one."""
    with all_tenants():
        Tenant.objects.filter(pk__in=[acme.pk, globex.pk]).update(max_concurrency=10)


def cap(tenant: Tenant, most: int) -> None:
    with all_tenants():
        Tenant.objects.filter(pk=tenant.pk).update(max_concurrency=most)


def test_pool_with_free_slots_awaits_jobs(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme, SLOTS - 1)
    assert tick().awaited is NextTickTrigger.JOBS


def test_pool_without_slots_for_waiting_jobs_awaits_ends(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme, SLOTS + 1)
    assert tick().awaited is NextTickTrigger.ENDS
    submit(acme)
    assert tick().awaited is NextTickTrigger.ENDS


def test_pool_that_is_exactly_full_awaits_either(acme: Tenant, worker: Registration, tick: Tick, start: Start) -> None:
    first, *_ = submit(acme, SLOTS)
    assert tick().awaited is NextTickTrigger.EITHER
    complete(start, first)
    assert tick().awaited is None


def test_pool_without_workers_awaits_ends(acme: Tenant, pool: WorkerPool) -> None:
    submit(acme)
    assert run_tick(pool.pk).awaited is NextTickTrigger.ENDS


def test_pool_with_a_tenant_at_its_cap_awaits_either(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick, start: Start
) -> None:
    cap(acme, 1)
    first, _ = submit(acme, 2)
    assert tick().awaited is NextTickTrigger.EITHER
    # Another tenant's job is dispatched by a tick that does not read the tenant at its cap.
    submit(globex)
    assert tick().awaited is NextTickTrigger.EITHER
    complete(start, first)
    assert tick().dispatched == 1
    # At its cap again, but by its last job: none waits.
    submit(globex)
    assert tick().awaited is NextTickTrigger.JOBS


def test_cap_that_holds_no_job_awaits_jobs(acme: Tenant, worker: Registration, tick: Tick) -> None:
    cap(acme, 1)
    submit(acme)
    assert tick().awaited is NextTickTrigger.JOBS


def test_tenant_waiting_in_another_pool_for_an_end_here_is_considered(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick
) -> None:
    cap(acme, 1)
    create_worker_pool(name="far")
    far = create_queue(name="far", pool="far")
    submit(acme)
    assert tick().awaited is NextTickTrigger.JOBS
    create_routing_rule(values={"position": 1, "kind": "sleep", "queue": far})
    submit(acme, kind="sleep", payload={"seconds": 0})
    run_tick(far.pool_id)
    submit(globex)
    assert tick().awaited is NextTickTrigger.EITHER


@pytest.mark.parametrize("limit", [{"cap": 1}, {"dispatches_per_minute": 1, "dispatch_burst": 1}])
def test_queue_at_its_limit_awaits_either(
    acme: Tenant, worker: Registration, tick: Tick, limit: dict[str, int]
) -> None:
    (job,) = submit(acme)
    with all_tenants():
        Queue.objects.filter(pk=job.queue_id).update(**limit)
    submit(acme, 2)
    assert tick().awaited is NextTickTrigger.EITHER


def test_reserved_slots_await_either(acme: Tenant, globex: Tenant, worker: Registration, tick: Tick) -> None:
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"))
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(strategy=CFSPlan.Strategy.TIME_SLICE, reserved_slots=1)
    submit(acme)
    assert tick().awaited is NextTickTrigger.EITHER


def test_tick_without_tenants_returns_no_awaited_event(acme: Tenant, worker: Registration, tick: Tick) -> None:
    assert tick().awaited is None
