"""Routing by region: the nearest queue, rules and rows of plans for a home region."""

from __future__ import annotations

import pytest

from scheduling.fleet import queue_consumers
from scheduling.fleet.queue_consumers import clear_loads, measure_queues
from scheduling.jobs.routing.trials import try_route
from scheduling.models import CFSPlan, CFSPlanTier, Queue, Worker
from scheduling.plans.service import TierRow, activate_cfs_plan, create_cfs_plan, update_cfs_plan
from scheduling.regions.rules import Residency
from scheduling.topology.service import create_routing_rule
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.regions.conftest import allow, route

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


@pytest.fixture(autouse=True)
def _fresh_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let loads be read once for each test, however slow the machine is."""
    monkeypatch.setattr(queue_consumers, "CACHED_SECONDS", 3_600.0)
    clear_loads()


def queues_of(tenant: Tenant, count: int = 6) -> set[str]:
    names = dict(Queue.objects.values_list("pk", "name"))
    return {names[job.queue_id] for job in submit(tenant, count)}


def test_nearest_rule_sends_to_the_home_region(acme: Tenant, us: Queue, eu: Queue) -> None:
    route(us, eu, balance="nearest")
    measure_queues()
    assert queues_of(allow(acme, home="eu")) == {"eu-queue"}
    assert queues_of(allow(acme, home="us")) == {"us-queue"}


def test_nearest_rule_sends_to_the_next_region_without_workers_at_home(acme: Tenant, us: Queue, eu: Queue) -> None:
    route(us, eu, balance="nearest")
    with all_tenants():
        Worker.objects.filter(hostname="eu").update(status="stopped")
    measure_queues()
    assert queues_of(allow(acme, home="eu")) == {"us-queue"}
    assert queues_of(allow(acme, "eu", home="eu")) == {"eu-queue"}


def test_rule_of_a_region_matches_tenants_of_that_home_only(acme: Tenant, globex: Tenant, us: Queue, eu: Queue) -> None:
    route(eu, region="eu")
    route(us, position=2)
    assert queues_of(allow(acme, home="eu")) == {"eu-queue"}
    assert queues_of(globex) == {"us-queue"}
    trial = try_route(kind="noop", tier="team", payload={}, residency=Residency("us"))
    assert trial.queue == "us-queue"
    assert "eu" in trial.rules[0].because


def test_tier_row_of_a_region_serves_tenants_of_that_home(acme: Tenant, globex: Tenant, us: Queue, eu: Queue) -> None:
    create_routing_rule(values={"position": 1, "kind": "noop", "by_tier": True})
    with all_tenants():
        plan = CFSPlan.objects.get(is_active=True)
        rows = [TierRow(row.tier_id, us.pk, 1) for row in plan.tiers.all()]
    regional = TierRow(acme.plan.tier_id, eu.pk, 2, region="eu")
    update_cfs_plan(plan=plan, fields={}, tiers=[*rows, regional])
    assert queues_of(allow(acme, home="eu")) == {"eu-queue"}
    assert queues_of(globex) == {"us-queue"}
    with all_tenants():
        assert str(CFSPlanTier.objects.get(region="eu")).startswith("team@eu → eu-queue")
    update_cfs_plan(plan=plan, fields={}, tiers=rows)
    with all_tenants():
        assert not CFSPlanTier.objects.filter(region="eu").exists()


def test_plan_with_rows_of_regions_only_is_not_activated(us: Queue) -> None:
    with all_tenants():
        tiers = CFSPlan.objects.get(is_active=True).tiers.values_list("tier_id", flat=True)
        rows = [TierRow(tier, us.pk, 1, region="us") for tier in tiers]
    plan = create_cfs_plan(fields={"name": "regional"}, tiers=rows)
    with pytest.raises(Exception, match="names no queue"):
        activate_cfs_plan(plan=plan)
