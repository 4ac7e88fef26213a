"""Live changes: each change of the fair order applies from the next tick, to jobs that wait already."""

from __future__ import annotations

from collections import Counter

import pytest

from scheduling.dispatch.tick import run_tick
from scheduling.fleet.workers import Registration, register_worker
from scheduling.models import CFSPlan, FairShareNode, LiveExecution, Queue, WorkerPool
from scheduling.plans.service import CFS_PLANS, TierRow, activate_cfs_plan, update_cfs_plan
from scheduling.stops.pauses import pause_kind, pause_queue, resume_kind, resume_queue
from scheduling.topology.service import update_queue
from tenants.context import all_tenants
from tenants.exceptions import DomainError
from tenants.models import Plan, Tenant
from tenants.plans.service import PLANS, update_plan
from tenants.tenancy.service import pause_tenant, resume_tenant, update_tenant
from tests.integration.scheduling.job_helpers import Tick, in_flight, submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def crowd(acme: Tenant, globex: Tenant, pool: WorkerPool) -> WorkerPool:
    """Let both tenants wait in one queue with a high cap, read by a tick; without workers yet."""
    with all_tenants():
        tiers = CFSPlan.objects.get(name="cloud").tiers
        tiers.update(queue=Queue.objects.get(name="tasks"))
        Plan.objects.update(max_concurrency=1_000)
    # All rows of one transaction have one time, so those of globex come first by their priority.
    submit(globex, 60, priority=5)
    submit(acme, 60)
    run_tick(pool.pk)
    assert in_flight() == []
    return pool


def dispatch(pool: WorkerPool, slots: int) -> Counter[str]:
    """Return how many jobs of each tenant the next tick dispatches to so many new slots."""
    before = {job.pk for job in in_flight()}
    register_worker(pool_name=pool.name, hostname="more", pid=1, slots=slots)
    run_tick(pool.pk)
    with all_tenants():
        fresh = LiveExecution.objects.exclude(job_id__in=before)
        return Counter(fresh.values_list("tenant__slug", flat=True))


def test_unchanged_weights_dispatch_two_to_one(crowd: WorkerPool) -> None:
    assert dispatch(crowd, 30) == {"acme": 20, "globex": 10}


def test_changed_plan_weight_applies_from_the_next_tick(acme: Tenant, crowd: WorkerPool) -> None:
    update_plan(plan=acme.plan, changes={"weight": 9})
    assert dispatch(crowd, 30) == {"acme": 27, "globex": 3}


def test_plan_rollback_applies_from_the_next_tick(acme: Tenant, crowd: WorkerPool) -> None:
    with all_tenants():
        number = Plan.objects.get(pk=acme.plan_id).version
    update_plan(plan=acme.plan, changes={"weight": 9, "max_concurrency": 1_000})
    run_tick(crowd.pk)
    update_plan(plan=acme.plan, changes={"weight": 1})
    PLANS.roll_back(acme.plan, number + 1, reason="x")
    assert dispatch(crowd, 30) == {"acme": 27, "globex": 3}


def test_changed_tenant_factor_applies_from_the_next_tick(acme: Tenant, crowd: WorkerPool) -> None:
    update_tenant(tenant=acme, changes={"weight_factor": 2})
    assert dispatch(crowd, 30) == {"acme": 24, "globex": 6}


def test_changed_plan_of_a_tenant_applies_from_the_next_tick(acme: Tenant, globex: Tenant, crowd: WorkerPool) -> None:
    update_tenant(tenant=globex, changes={"plan": "professional"})
    assert dispatch(crowd, 30) == {"acme": 10, "globex": 20}


def test_changed_plan_cap_applies_from_the_next_tick(acme: Tenant, crowd: WorkerPool) -> None:
    update_plan(plan=acme.plan, changes={"max_concurrency": 2})
    assert dispatch(crowd, 30) == {"acme": 2, "globex": 28}
    update_plan(plan=acme.plan, changes={"max_concurrency": 12})
    assert dispatch(crowd, 12)["acme"] in (9, 10)


def test_changed_tenant_cap_applies_from_the_next_tick(acme: Tenant, crowd: WorkerPool) -> None:
    update_tenant(tenant=acme, changes={"max_concurrency": 3})
    assert dispatch(crowd, 30)["acme"] == 3


def test_changed_queue_cap_applies_from_the_next_tick(crowd: WorkerPool) -> None:
    queue = Queue.objects.get(name="tasks")
    update_queue(queue=queue, changes={"cap": 6})
    assert sum(dispatch(crowd, 30).values()) == 6
    update_queue(queue=queue, changes={"cap": None})
    run_tick(crowd.pk)
    assert len(in_flight()) == 30


def test_queue_pause_applies_from_the_next_tick(crowd: WorkerPool) -> None:
    queue = Queue.objects.get(name="tasks")
    pause_queue(queue=queue, reason="x")
    assert dispatch(crowd, 30) == {}
    resume_queue(queue=queue)
    run_tick(crowd.pk)
    assert len(in_flight()) == 30


def test_tenant_pause_applies_from_the_next_tick(acme: Tenant, crowd: WorkerPool) -> None:
    pause_tenant(tenant=acme, reason="x")
    assert dispatch(crowd, 30) == {"globex": 30}
    resume_tenant(tenant=acme)
    assert dispatch(crowd, 12)["acme"] in (8, 9)


def test_kind_pause_applies_from_the_next_tick(crowd: WorkerPool) -> None:
    pause_kind(kind="noop", reason="x")
    assert dispatch(crowd, 30) == {}
    resume_kind(kind="noop")
    run_tick(crowd.pk)
    run_tick(crowd.pk)
    assert len(in_flight()) == 30


def test_changed_strategy_and_its_rollback_apply_from_the_next_tick(crowd: WorkerPool) -> None:
    plan = CFSPlan.objects.get(name="cloud")
    update_cfs_plan(plan=plan, fields={"strategy": "nop"})
    assert dispatch(crowd, 30) == {"globex": 30}  # the first submitted
    update_cfs_plan(plan=plan, fields={"strategy": "time_slice"})
    # globex has had thirty by now, which the fair order takes into account.
    assert dispatch(crowd, 12) == {"acme": 12}


def test_activated_cfs_plan_applies_from_the_next_tick(crowd: WorkerPool) -> None:
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"))
    assert dispatch(crowd, 30) == {"globex": 30}


def test_changed_queue_weight_applies_from_the_next_tick(acme: Tenant, globex: Tenant, pool: WorkerPool) -> None:
    with all_tenants():
        Plan.objects.update(max_concurrency=1_000)
    for tenant in (acme, globex):
        submit(tenant, 60)
    run_tick(pool.pk)
    plan = CFSPlan.objects.get(name="cloud")
    weights = {"sandbox": 5, "team": 1, "professional": 1}
    with all_tenants():
        tiers = [TierRow(row.tier_id, row.queue_id, weights[row.tier_id]) for row in plan.tiers.all()]
    update_cfs_plan(plan=plan, fields={}, tiers=tiers)
    assert dispatch(pool, 30) == {"acme": 5, "globex": 25}
    CFS_PLANS.roll_back(plan, 1, reason="x")
    assert dispatch(pool, 30)["acme"] >= 20


def test_tick_stores_the_new_weight_with_what_it_dispatches(
    acme: Tenant, crowd: WorkerPool, worker: Registration, tick: Tick
) -> None:
    update_plan(plan=acme.plan, changes={"weight": 9})
    tick()
    with all_tenants():
        assert set(LiveExecution.objects.filter(tenant=acme).values_list("weight_milli", flat=True)) == {9_000}
        assert FairShareNode.objects.get(tenant=acme).weight_milli == 9_000


def test_huge_weight_does_not_break_a_tick(acme: Tenant, crowd: WorkerPool) -> None:
    with all_tenants():
        Plan.objects.filter(pk=acme.plan_id).update(weight=2_000_000_000)
    submit(acme, 1)
    assert dispatch(crowd, 30)["acme"] >= 29


def test_plan_weight_beyond_its_bounds_is_refused(acme: Tenant, crowd: WorkerPool) -> None:
    with pytest.raises(DomainError, match="1000"):
        update_plan(plan=acme.plan, changes={"weight": 1_001})
