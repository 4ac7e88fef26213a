"""Share samples: the entitlements that the tree gives, stored once per time."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from scheduling.models import (
    CFSPlan,
    FairShareNode,
    LiveExecution,
    RollupClock,
    ShareMinute,
    TenantCapacity,
    Worker,
)
from scheduling.shares import demands as share_demands
from scheduling.shares import samples as share_samples
from scheduling.shares.demands import DemandCount, EntitledTenant
from scheduling.shares.samples import ShareSampler, sample_shares, split_by_minute
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant
from tests.integration.console.shares import MINUTE_US, demand, sample_after
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db


def test_sample_stores_what_the_tree_gives(acme: Tenant, globex: Tenant, live_worker: Worker) -> None:
    with all_tenants():
        demand(acme, weight=2, vruntime=0)
        demand(globex, weight=1, vruntime=3_000_000_000)
        assert sample_after(30) >= 2
        rows = {tenant: list(ShareMinute.objects.filter(tenant=tenant).order_by("minute")) for tenant in (acme, globex)}
    # Four slots at 2 : 1; the caps of 5 and 2 limit neither.
    entitled = {tenant: sum(row.entitled_us for row in found) for tenant, found in rows.items()}
    assert entitled[acme] == pytest.approx(30 * 8 / 3 * 1e6, rel=0.02)
    assert entitled[globex] == pytest.approx(30 * 4 / 3 * 1e6, rel=0.02)
    assert sum(row.backlogged_us for row in rows[acme]) == pytest.approx(30e6, rel=0.02)
    # Globex had 3 s at weight 1: Acme was entitled to 2 of them.
    assert (rows[acme][-1].lag_us, rows[globex][-1].lag_us) == (2_000_000, -2_000_000)


def greatest(most: int) -> list[EntitledTenant]:
    census = DemandCount(most)
    while not census.is_over:
        census.count_on()
    return sorted(census.greatest(), key=str)


def test_tenants_counted_by_classes_get_the_same_shares(
    acme: Tenant, globex: Tenant, live_worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [create_tenant(slug=f"tenant-{n}", name="T", plan="sandbox") for n in range(6)]
    with all_tenants():
        for number, tenant in enumerate([acme, globex, *others]):
            demand(tenant, weight=1 + number % 3, vruntime=number * 1_000_000_007)
        one_by_one = greatest(5)
        monkeypatch.setattr(share_demands, "DEMAND_LIMIT", 7)
        monkeypatch.setattr(share_demands, "WINDOW_ROWS", 3)
        by_classes = greatest(5)
        assert sample_after(10) >= 8
    assert len(by_classes) == 5
    assert [(row.tenant_id, row.lag_us, row.is_backlogged) for row in by_classes] == [
        (row.tenant_id, row.lag_us, row.is_backlogged) for row in one_by_one
    ]
    assert [row.slots for row in by_classes] == pytest.approx([row.slots for row in one_by_one])


def test_sample_includes_tenants_beyond_the_demand_limit(
    acme: Tenant, globex: Tenant, live_worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_demands, "DEMAND_LIMIT", 1)
    with all_tenants():
        demand(acme, weight=1, vruntime=0)
        demand(globex, weight=3, vruntime=10**12)
        slots = {row.tenant_id: row.slots for row in greatest(9)}
    # Its cap limits the heavier one to 2 of 4 slots; the other gets the rest.
    assert slots == pytest.approx({globex.pk: 2, acme.pk: 2})


def test_sample_of_many_tenants_lets_ticks_run_between_its_steps(
    acme: Tenant, globex: Tenant, live_worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_demands, "DEMAND_LIMIT", 1)
    monkeypatch.setattr(share_demands, "WINDOW_ROWS", 1)
    sampler = ShareSampler()
    steps = 0
    with all_tenants():
        demand(acme)
        demand(globex)
        RollupClock.objects.update(shares_sampled_at=read_clock() - timedelta(seconds=30))
        while not steps or sampler.interval_seconds() < share_samples.SAMPLE_SECONDS:
            sampler.take_turn()
            steps += 1
            assert steps < 9
        assert set(ShareMinute.objects.values_list("tenant_id", flat=True)) == {acme.pk, globex.pk}
    assert steps > 3


def test_tenant_starting_to_run_during_a_large_sample_is_counted_once(
    acme: Tenant, globex: Tenant, live_worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_demands, "DEMAND_LIMIT", 1)
    (job,) = submit(acme)
    with all_tenants():
        rows = [demand(acme), demand(globex)]
        census = DemandCount(9)
        census.count_on()
        now = read_clock()
        LiveExecution.objects.create(
            tenant=acme,
            job_id=job.pk,
            entity_id=rows[0].pk,
            queue_id=rows[0].queue_id,
            pool_id=live_worker.pool_id,
            kind="noop",
            number=1,
            token=uuid4(),
            predicted_us=1,
            weight_milli=1_000,
            queue_weight_milli=1_000,
            dispatched_at=now,
            published_at=now,
        )
        while not census.is_over:
            census.count_on()
        assert sorted(row.tenant_id for row in census.greatest()) == sorted([acme.pk, globex.pk])


def test_two_dispatchers_sample_once(acme: Tenant, live_worker: Worker) -> None:
    with all_tenants():
        demand(acme)
        assert sample_after(30)
        assert sample_shares() == 0
        assert sample_after(2) == 0


def test_unsampled_time_is_not_filled_in(acme: Tenant, live_worker: Worker) -> None:
    with all_tenants():
        demand(acme)
        sample_after(3_600)
        assert sum(ShareMinute.objects.values_list("backlogged_us", flat=True)) == pytest.approx(MINUTE_US, rel=0.02)


def test_only_the_largest_tenants_are_stored(
    acme: Tenant, globex: Tenant, live_worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_samples, "KEPT", 1)
    with all_tenants():
        demand(acme, weight=3)
        demand(globex, weight=1)
        sample_after(10)
        assert set(ShareMinute.objects.values_list("tenant_id", flat=True)) == {acme.pk}


def test_paused_pool_and_plan_without_shares_have_no_entitlements(acme: Tenant, live_worker: Worker) -> None:
    with all_tenants():
        demand(acme)
        live_worker.pool.is_paused = True
        live_worker.pool.save()
        assert sample_after(30) == 0
        live_worker.pool.is_paused = False
        live_worker.pool.save()
        CFSPlan.objects.update(is_active=False)
        CFSPlan.objects.filter(name="community").update(is_active=True)
        assert sample_after(30) == 0


def test_span_is_split_at_the_minute() -> None:
    until = datetime.fromisoformat("2026-03-01T10:01:10+00:00")
    parts = list(split_by_minute(until - timedelta(seconds=30), until))
    assert [(minute.minute, length.total_seconds()) for minute, length in parts] == [(0, 20.0), (1, 10.0)]


def run(tenant: Tenant, entity_id: int, worker: Worker) -> None:
    """Store a running execution of the tenant."""
    now = read_clock()
    (job,) = submit(tenant)
    with all_tenants():
        LiveExecution.objects.create(
            tenant=tenant,
            job_id=job.pk,
            entity_id=entity_id,
            queue_id=FairShareNode.objects.get(pk=entity_id).queue_id,
            pool_id=worker.pool_id,
            kind="noop",
            number=1,
            token=uuid4(),
            predicted_us=1,
            weight_milli=1_000,
            queue_weight_milli=1_000,
            dispatched_at=now,
            published_at=now,
        )


def test_stopped_tenant_with_running_jobs_is_not_backlogged(acme: Tenant, globex: Tenant, live_worker: Worker) -> None:
    with all_tenants():
        node = demand(acme)
        demand(globex)
        FairShareNode.objects.filter(pk=node.pk).update(is_runnable=False, in_flight=1)
    run(acme, node.pk, live_worker)
    with all_tenants():
        found = {row.tenant_id: (row.slots, row.is_backlogged) for row in greatest(9)}
    # It wants no more than it has, and the rest is the other's up to its cap.
    assert found == {acme.pk: (pytest.approx(1), False), globex.pk: (pytest.approx(2), True)}


def test_tenant_at_its_cap_is_backlogged(acme: Tenant, live_worker: Worker) -> None:
    with all_tenants():
        node = demand(acme)
        FairShareNode.objects.filter(pk=node.pk).update(is_runnable=False, in_flight=acme.concurrency_cap)
        TenantCapacity.objects.update_or_create(tenant=acme, defaults={"in_flight": acme.concurrency_cap})
    run(acme, node.pk, live_worker)
    with all_tenants():
        assert [row.is_backlogged for row in greatest(9)] == [True]


def test_tenant_is_entitled_to_no_more_slots_than_it_has_jobs(
    acme: Tenant, globex: Tenant, live_worker: Worker
) -> None:
    with all_tenants():
        demand(acme, weight=9, waiting=1)
        demand(globex, weight=1)
        slots = {row.tenant_id: row.slots for row in greatest(9)}
    assert slots == pytest.approx({acme.pk: 1, globex.pk: 2})
