"""Locked rows: a tick skips them and waits for none, and a line that cannot be served blocks no other."""

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
    FairShareNode,
    Job,
    JobHeld,
    JobReady,
    PoolClock,
    Queue,
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
from tests.integration.scheduling.job_helpers import Tick, in_flight, reload, submit

DEADLINE_SECONDS = 60


def give_slots(pool: WorkerPool, count: int) -> None:
    with all_tenants():
        Worker.objects.filter(pool=pool).update(slots=count)


def beside[ResultT](act: Callable[[], ResultT]) -> ResultT:
    """Run it on another connection while this one's transaction is open; it must not wait for it."""

    def go() -> ResultT:
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(go).result(DEADLINE_SECONDS)


def tick_while_held(tick: Tick, jobs: list[Job]) -> TickResult:
    """Tick while another session locks the waiting rows of these jobs; then release them unchanged."""
    ids = [job.pk for job in jobs]
    with all_tenants(), transaction.atomic():
        assert len(JobReady.objects.select_for_update().filter(job_id__in=ids).values_list("job_id")) == len(ids)
        return beside(tick)


@pytest.fixture
def one_queue(db: None) -> None:
    """Put all tenants into one queue, in order of arrival."""
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"))


@pytest.mark.django_db(transaction=True)
def test_locked_rows_are_skipped_and_slots_go_to_others(
    acme: Tenant, globex: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, one_queue: None
) -> None:
    held, behind = submit(acme, 3), submit(globex, 2)
    give_slots(pool, 2)
    # The first read contained fewer jobs of the others than there are slots.
    while tick_while_held(tick, held).has_more:
        pass
    assert {job.pk for job in in_flight()} == {job.pk for job in behind}
    give_slots(pool, 5)
    tick()
    assert {job.pk for job in in_flight()} == {job.pk for job in held + behind}
    assert faults_of("counters", "ready") == []
    assert faults_of("ledger") == []


@pytest.mark.django_db(transaction=True)
def test_next_job_of_a_line_passes_a_locked_first_job(
    acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick
) -> None:
    first, second = submit(acme, 2)
    give_slots(pool, 1)
    assert tick_while_held(tick, [first]).dispatched == 1
    assert [job.pk for job in in_flight()] == [second.pk]
    with all_tenants():
        assert FairShareNode.objects.get().is_runnable
    give_slots(pool, 2)
    tick()
    assert {job.pk for job in in_flight()} == {first.pk, second.pk}


@pytest.mark.django_db(transaction=True)
def test_tick_that_reads_only_locked_rows_has_no_more(
    acme: Tenant, pool: WorkerPool, worker: Registration, tick: Tick
) -> None:
    jobs = submit(acme, 3)
    result = tick_while_held(tick, jobs)
    assert (result.dispatched, result.has_more) == (0, False)
    assert tick().dispatched == 3


@pytest.mark.django_db(transaction=True)
def test_tick_does_not_wait_for_an_open_cancellation(
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
def test_locked_job_behind_a_gate_is_set_aside_later(
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
def test_tenant_filled_by_another_pools_tick_blocks_no_other(
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
        # This tick has folded its wakes already, so only the tenant's capacity shows it.
        assert run_tick(far.pk).dispatched == 1
        return read_pool(*args, **options)

    monkeypatch.setattr(tick_module, "read_pool", read_after_the_other_pool)
    result = tick()
    assert (result.dispatched, result.has_more) == (0, True)
    assert (tick().dispatched, tick().has_more) == (1, False)
    assert {job.tenant_id for job in in_flight()} == {acme.pk, globex.pk}


def _submit_to_two_pools(acme: Tenant, globex: Tenant, pool: WorkerPool) -> WorkerPool:
    """Submit a job of acme, whose cap is one, in another pool; another of it before one of globex at one slot here."""
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
        FairShareNode.objects.filter(tenant=globex).update(queue=here.queue)
        Wake.objects.filter(tenant=globex).update(queue_id=here.queue_id)
        FairShareNode.objects.filter(tenant=globex).update(vruntime=1)
    give_slots(pool, 1)
    return far


@pytest.mark.django_db
def test_line_found_empty_blocks_no_other(
    acme: Tenant, globex: Tenant, pool: WorkerPool, worker: Registration, tick: Tick, one_queue: None
) -> None:
    (gone,) = submit(acme)
    (behind,) = submit(globex)
    give_slots(pool, 0)
    tick()  # both are marked runnable
    with all_tenants():
        Wake.objects.all().delete()
        JobReady.objects.filter(job_id=gone.pk).delete()  # as if its cancellation's wake were not visible yet
    give_slots(pool, 1)
    assert tick().has_more
    tick()
    assert [job.pk for job in in_flight()] == [behind.pk]
