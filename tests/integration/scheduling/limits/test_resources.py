"""Processor time and storage traffic of executions: history, ledger, months and limits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection

from scheduling.execution.costs import Costs
from scheduling.execution.settlement import Settlement, settle
from scheduling.fleet.workers import Registration
from scheduling.limits.declared import CPU_SECONDS, IO_MIB
from scheduling.models import Charge, Execution, FairShareNode, Job
from tenants.context import all_tenants
from tenants.limits.declared import Limit, month_of
from tenants.limits.service import set_tenant_limit
from tenants.models import LimitWarning, PlanLimit, Tenant, TenantUsage
from tests.integration.scheduling.job_helpers import Start, Tick, begin, reload, submit

pytestmark = pytest.mark.django_db

MIB = 1 << 20


def end(start: Start, job: Job, costs: Costs) -> None:
    started = begin(start, job)
    ending = Settlement.completed(started.execution_id, started.fence, {})
    ending.bill(costs, began_us=0, measured_us=5_000)
    settle([ending])


def used(tenant: Tenant, limit: Limit) -> int:
    with all_tenants():
        counters = TenantUsage.objects.filter(tenant=tenant, key=limit.key, period=month_of(datetime.now(UTC)))
        return counters.values_list("amount", flat=True).first() or 0


def test_costs_are_stored_in_execution_charge_and_month(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    jobs = [*submit(acme, 2), *submit(globex)]
    tick()
    for job, costs in zip(jobs, (Costs(1_500, 70_000, 4_096), Costs(), Costs(7, 8, 9)), strict=True):
        end(start, job, costs)
    tick()
    with all_tenants():
        rows = Execution.objects.filter(tenant=acme).values_list("cpu_us", "peak_memory_kib", "io_bytes")
        charges = Charge.objects.filter(tenant=acme).values_list("reason", "cpu_us", "peak_memory_kib", "io_bytes")
        assert set(rows) == {(1_500, 70_000, 4_096), (None, None, None)}
        assert ("corrected", 1_500, 70_000, 4_096) in set(charges)
        assert ("predicted", None, None, None) in set(charges)
    assert (used(acme, CPU_SECONDS), used(acme, IO_MIB)) == (1_500, 4_096)
    assert (used(globex, CPU_SECONDS), used(globex, IO_MIB)) == (7, 9)


@pytest.mark.parametrize("source", ["override", "plan"])
@pytest.mark.parametrize(
    ("limit", "costs"), [(CPU_SECONDS, Costs(cpu_us=2_000_000)), (IO_MIB, Costs(cpu_us=1, io_bytes=2 * MIB))]
)
def test_fold_that_uses_up_a_resource_holds_the_rest_in_its_tick(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, limit: Limit, costs: Costs, source: str
) -> None:
    if source == "plan":
        with all_tenants():
            PlanLimit.objects.create(plan_id=acme.plan_id, key=limit.key, value=2)
    else:
        set_tenant_limit(tenant=acme, key=limit.key, value=2, reason="test")
    set_tenant_limit(tenant=acme, key="max_concurrency", value=1, reason="test")
    first, second = submit(acme, 2)
    tick()
    end(start, first, costs)
    assert tick().dispatched == 0
    assert reload(second).state == "available"
    with all_tenants():
        assert not FairShareNode.objects.get(tenant=acme).is_runnable
        percents = LimitWarning.objects.filter(tenant=acme, key=limit.key).values_list("percent", flat=True)
        assert sorted(percents) == [80, 100]
    set_tenant_limit(tenant=acme, key=limit.key, value=3, reason="test")
    assert tick().dispatched == 1


def test_override_of_a_resource_replaces_the_limit_of_the_plan(acme: Tenant, tick: Tick, worker: Registration) -> None:
    with all_tenants():
        PlanLimit.objects.create(plan_id=acme.plan_id, key=CPU_SECONDS.key, value=0)
    submit(acme)
    assert tick().dispatched == 0
    set_tenant_limit(tenant=acme, key=CPU_SECONDS.key, value=1, reason="test")
    assert tick().dispatched == 1


def test_unchecked_limit_of_a_resource_fails_no_tick(acme: Tenant, tick: Tick, worker: Registration) -> None:
    set_tenant_limit(tenant=acme, key=IO_MIB.key, value=1, reason="test")
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_tenantlimit SET value = 9223372036854775807")
    submit(acme)
    assert tick().dispatched == 1
