"""Reserved slots of the active plan, in the dispatcher."""

from __future__ import annotations

from collections import Counter

import pytest

from scheduling.fleet.workers import Registration
from scheduling.models import CFSPlan, FairShareNode, JobEvent, LiveExecution
from scheduling.plans.service import activate_cfs_plan
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Tick, in_flight, submit

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def one_queue(acme: Tenant, globex: Tenant) -> None:
    """Put both tenants into one queue, in the fair order."""
    activate_cfs_plan(plan=CFSPlan.objects.get(name="community"))
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(strategy=CFSPlan.Strategy.TIME_SLICE)
        Tenant.objects.filter(pk=globex.pk).update(max_concurrency=10)
        Tenant.objects.filter(pk=acme.pk).update(max_concurrency=10)


@pytest.mark.parametrize(("reserved", "expected"), [(0, {"acme": 4}), (1, {"acme": 3, "globex": 1})])
def test_last_slot_goes_to_a_tenant_below_its_share(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick, reserved: int, expected: dict[str, int]
) -> None:
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(reserved_slots=reserved)
    submit(acme, 8)
    submit(globex, 8)
    with all_tenants():
        # Globex had much service recently, and has nothing in flight.
        FairShareNode.objects.filter(tenant=globex).update(vruntime=10**13)
    tick()
    with all_tenants():
        assert Counter(LiveExecution.objects.values_list("tenant__slug", flat=True)) == expected
        reasons = Counter(JobEvent.objects.filter(name="job.dispatched").values_list("data__reason", flat=True))
    assert reasons["reserved"] == reserved


def test_reserve_leaves_no_slot_idle(acme: Tenant, worker: Registration, tick: Tick) -> None:
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(reserved_slots=4)
    submit(acme, 8, fair_key="ann")
    tick()
    assert len(in_flight()) == 4
