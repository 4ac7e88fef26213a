"""A tick waits for nobody's rows, and whoever cannot be served in this moment hides nobody behind it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from scheduling.dispatch import tick as tick_module
from scheduling.dispatch.tick import TickResult, run_tick
from scheduling.fleet.workers import Registration, register_worker
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.lifecycle import JobState
from scheduling.models import (
    CFSPlan,
    Job,
    JobHeld,
    JobReady,
    PoolClock,
    Queue,
    SchedulingEntity,
    Wake,
    Worker,
    WorkerPool,
)
from scheduling.plans.service import activate_cfs_plan
from scheduling.stops.pauses import pause_kind
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.tenancy.service import update_tenant
from tests.checks import faults_of
from tests.integration.scheduling.acts import Tick, in_flight, reload, submit

DEADLINE_SECONDS = 60


def give_slots(pool: WorkerPool, count: int) -> None:
    with all_tenants():
        Worker.objects.filter(pool=pool).update(slots=count)


def beside[ResultT](act: Callable[[], ResultT]) -> ResultT:
    """Do it on another connection, while this one's transaction is open; it must not wait for it."""

    def go() -> ResultT:
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(go).result(DEADLINE_SECONDS)


def tick_while_held(tick: Tick, jobs: list[Job]) -> TickResult:
    """A tick while somebody holds the waiting rows of these jobs, and lets them go unchanged."""
    ids = [job.pk for job in jobs]
    with all_tenants(), transaction.atomic():
        assert len(JobReady.objects.select_for_update().filter(job_id__in=ids).values_list("job_id")) == len(ids)
        return beside(tick)


@pytest.fixture
def one_queue(db: None) -> None:
    """All tenants share a queue, in order of arrival."""
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"))


@pytest.mark.django_db(transaction=True)
def test_rows_that_somebody_holds_are_passed_over_and_the_slots_go_to_others(
    acme: Tenant, globex: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, one_queue: None
) -> None:
    held, behind = submit(acme, 3), submit(globex, 2)
    give_slots(pool, 2)
    # Of the others fewer jobs were read in the first look than there are slots.
    while tick_while_held(tick, held).has_more:
        pass
    assert {job.pk for job in in_flight()} == {job.pk for job in behind}
    give_slots(pool, 5)
    tick()
    assert {job.pk for job in in_flight()} == {job.pk for job in held + behind}
    assert faults_of("counters", "ready") == []
    assert faults_of("ledger") == []


@pytest.mark.django_db(transaction=True)
def test_the_next_of_a_line_goes_where_its_first_is_held(
    acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick
) -> None:
    first, second = submit(acme, 2)
    give_slots(pool, 1)
    assert tick_while_held(tick, [first]).dispatched == 1
    assert [job.pk for job in in_flight()] == [second.pk]
    with all_tenants():
        assert SchedulingEntity.objects.get().is_runnable
    give_slots(pool, 2)
    tick()
    assert {job.pk for job in in_flight()} == {first.pk, second.pk}


@pytest.mark.django_db(transaction=True)
def test_a_tick_ends_that_found_nothing_but_held_rows(
    acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick
) -> None:
    jobs = submit(acme, 3)
    result = tick_while_held(tick, jobs)
    assert (result.dispatched, result.has_more) == (0, False)
    assert tick().dispatched == 3


@pytest.mark.django_db(transaction=True)
def test_a_cancellation_that_is_open_keeps_no_tick_waiting(
    acme: Tenant, globex: Tenant, pool: WorkerPool, worker: Registration, tick: Tick
) -> None:
    gone, other = submit(acme, 3), submit(globex)
    with tenant_context(acme), transaction.atomic():
        cancel_jobs(job_ids=[job.pk for job in gone])
        beside(tick)
    assert [job.pk for job in in_flight()] == [other[0].pk]
    tick()
    assert {reload(job).state for job in gone} == {JobState.CANCELLED}
    assert faults_of("counters", "ready") == []


@pytest.mark.django_db(transaction=True)
def test_a_job_behind_a_gate_that_somebody_holds_is_set_aside_later(
    acme: Tenant, globex: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, one_queue: None
) -> None:
    gated = submit(acme, 2)
    other = submit(globex, kind="sleep", payload={"seconds": 0})
    pause_kind(kind="noop", reason="broken")
    result = tick_while_held(tick, gated)
    assert (result.dispatched, result.has_more) == (1, False)
    assert [job.pk for job in in_flight()] == [other[0].pk]
    tick()
    with all_tenants():
        assert JobHeld.objects.count() == 2
    assert faults_of("counters", "ready") == []


@pytest.mark.django_db
def test_whom_another_pool_fills_in_this_moment_hides_nobody(
    acme: Tenant,
    globex: Tenant,
    pool: WorkerPool,
    worker: Registration,
    tick: Tick,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    far = _submit_to_two_pools(acme, globex, pool)
    read_pool = tick_module.read_pool

    def read_after_the_other_pool(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(tick_module, "read_pool", read_pool)
        # This tick has folded its wakes already, so it learns of this by the tenant's capacity alone.
        assert run_tick(far.pk).dispatched == 1
        return read_pool(*args, **options)

    monkeypatch.setattr(tick_module, "read_pool", read_after_the_other_pool)
    result = tick()
    assert (result.dispatched, result.has_more) == (0, True)
    assert (tick().dispatched, tick().has_more) == (1, False)
    assert {job.tenant_id for job in in_flight()} == {acme.pk, globex.pk}


def _submit_to_two_pools(acme: Tenant, globex: Tenant, pool: WorkerPool) -> WorkerPool:
    """A job of acme, which may run one, in a pool of its own; another of it before one of globex at one slot here."""
    update_tenant(tenant=acme, changes={"max_concurrency": 1})
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"))
    (job,) = submit(acme)
    with all_tenants():
        far = WorkerPool.objects.create(name="far")
        PoolClock.objects.create(pool=far)
        Queue.objects.filter(pk=job.queue_id).update(pool=far)
    register_worker(pool_name="far", hostname="far", pid=1, slots=1)
    activate_cfs_plan(plan=CFSPlan.objects.get(name="cloud"))
    (here,) = submit(acme)
    submit(globex)
    with all_tenants():
        SchedulingEntity.objects.filter(tenant=globex).update(queue=here.queue)
        Wake.objects.filter(tenant=globex).update(queue_id=here.queue_id)
        SchedulingEntity.objects.filter(tenant=globex).update(vruntime=1)
    give_slots(pool, 1)
    return far


@pytest.mark.django_db
def test_a_line_that_is_found_empty_hides_nobody(
    acme: Tenant, globex: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, one_queue: None
) -> None:
    (gone,) = submit(acme)
    (behind,) = submit(globex)
    give_slots(pool, 0)
    tick()  # both are known to be runnable
    with all_tenants():
        Wake.objects.all().delete()
        JobReady.objects.filter(job_id=gone.pk).delete()  # as if its cancellation's wake were not yet visible
    give_slots(pool, 1)
    assert tick().has_more
    tick()
    assert [job.pk for job in in_flight()] == [behind.pk]
