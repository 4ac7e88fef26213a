"""Eligibility: a rule that holds a job skips it and reorders no other."""

from __future__ import annotations

import pytest

from scheduling.fairness.nodes import virtual_service
from scheduling.fleet.workers import Registration, retire_worker
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.models import (
    CFSPlan,
    Execution,
    FairShareNode,
    JobHeld,
    LiveExecution,
    Queue,
    QueueClock,
    WorkerPool,
)
from scheduling.plans.service import activate_cfs_plan
from scheduling.stops.pauses import pause_kind, pause_queue, resume_kind, resume_queue
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import TenantSuspendedError
from tenants.models import Plan, Tenant
from tenants.tenancy.service import pause_tenant, reinstate_tenant, resume_tenant, suspend_tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, in_flight, reload, submit

pytestmark = pytest.mark.django_db


def test_paused_queue_dispatches_nothing_until_resumed(acme: Tenant, tick: Tick, worker: Registration) -> None:
    queue = Queue.objects.get(name="tasks_team")
    submit(acme)
    pause_queue(queue=queue, reason="maintenance")
    assert tick().dispatched == 0
    resume_queue(queue=queue)
    assert tick().dispatched == 1


def test_paused_kind_holds_no_other_kind_behind_it(acme: Tenant, tick: Tick, worker: Registration) -> None:
    paused = submit(acme, 2)
    other = submit(acme, 1, kind="sleep", payload={"seconds": 0})
    pause_kind(kind="noop", reason="broken")
    assert tick().has_more  # the tick has set the paused ones aside
    tick()
    assert [job.pk for job in in_flight()] == [other[0].pk]
    resume_kind(kind="noop")
    tick()
    assert {job.pk for job in in_flight()} == {job.pk for job in paused + other}
    with all_tenants():
        assert not JobHeld.objects.exists()


def test_paused_tenant_waits_and_others_run(acme: Tenant, globex: Tenant, tick: Tick, worker: Registration) -> None:
    submit(acme, 2)
    submit(globex, 2)
    pause_tenant(tenant=acme, reason="asked for")
    tick()
    assert {job.tenant_id for job in in_flight()} == {globex.pk}
    resume_tenant(tenant=acme, reason="asked for")
    tick()
    assert {job.tenant_id for job in in_flight()} == {globex.pk, acme.pk}


def test_suspended_tenant_neither_submits_nor_runs(acme: Tenant, tick: Tick, worker: Registration) -> None:
    submit(acme)
    suspend_tenant(tenant=acme, reason="unpaid")
    assert tick().dispatched == 0
    with all_tenants():
        acme.refresh_from_db()
    with pytest.raises(TenantSuspendedError):
        submit_jobs(tenant=acme, requests=[JobRequest("noop")])
    reinstate_tenant(tenant=acme, reason="paid")
    assert tick().dispatched == 1


def test_queue_cap_holds_over_several_ticks(acme: Tenant, tick: Tick, worker: Registration) -> None:
    with all_tenants():
        Queue.objects.filter(name="tasks_team").update(cap=3)
    submit(acme, 10)
    assert [tick().dispatched, tick().dispatched] == [3, 0]


def test_stopped_worker_contributes_no_slots(acme: Tenant, tick: Tick, worker: Registration) -> None:
    submit(acme)
    retire_worker(worker_id=worker.worker_id)
    assert tick().dispatched == 0


def test_suspended_job_waits_until_resumed(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    held, other = submit(acme, 2)
    with tenant_context(acme):
        suspend_job(job_id=held.pk, reason="look first")
    tick()
    assert [job.pk for job in in_flight()] == [other.pk]
    with tenant_context(acme):
        assert resume_job(job_id=held.pk).state == JobState.AVAILABLE
    tick()
    assert reload(held).state == JobState.DISPATCHED


def test_return_from_a_pause_earns_no_credit(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    """Pause acme in globex's queue; it then starts at globex's virtual time instead of catching up."""
    with all_tenants():
        queue = Queue.objects.get(name="tasks_team")
        CFSPlan.objects.get(name="cloud").tiers.update(queue=queue)
    submit(acme, 3)
    pause_tenant(tenant=acme, reason="asked for")
    submit(globex, 20)
    for _ in range(5):
        tick()
        for job in in_flight():
            complete(start, job)
    retire_worker(worker_id=worker.worker_id)  # the next tick wakes acme and picks no job
    resume_tenant(tenant=acme, reason="asked for")
    tick()
    with all_tenants():
        clock = QueueClock.objects.get(queue=queue)
        assert FairShareNode.objects.get(tenant=acme).vruntime == clock.virtual_time > 0


def test_fifo_dispatches_in_order_of_arrival_whatever_the_weights(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start, pool: WorkerPool
) -> None:
    with all_tenants():
        activate_cfs_plan(plan=CFSPlan.objects.get(name="community"), reason="test")
    jobs = [job for pair in range(4) for job in (*submit(globex), *submit(acme))]
    order = []
    while len(order) < len(jobs):
        tick()
        for job in in_flight():
            order.append(job.pk)
            complete(start, job)
    assert order == [job.pk for job in jobs]


def test_changed_weight_does_not_affect_jobs_in_flight(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    """Settle at another weight than charged; the clocks keep the measured time at the first."""
    jobs = submit(acme, 2)
    tick()
    with all_tenants():
        plan = CFSPlan.objects.get(is_active=True)
        plan.tiers.update(weight=100)
        weights = dict(LiveExecution.objects.values_list("weight_milli", "queue_weight_milli"))
        Plan.objects.filter(pk=acme.plan_id).update(weight=50)
    for job in jobs:
        complete(start, job)
    tick()
    ((weight, queue_weight),) = weights.items()
    with all_tenants():
        measured = list(Execution.objects.values_list("measured_us", flat=True))
        entity = FairShareNode.objects.get()
        clock = QueueClock.objects.get(queue=entity.queue)
    assert entity.vruntime == sum(virtual_service(cost, weight) for cost in measured)
    assert clock.vruntime == sum(virtual_service(cost, queue_weight) for cost in measured)
