"""Retention of log lines and charges: by their tenant's plan, in batches."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling.models import Charge, Execution, JobLog
from scheduling.upkeep.runs import run_upkeep
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.upkeep.test_retention import keep, old_history, old_id

pytestmark = pytest.mark.django_db


def old_line(tenant: Tenant, *, days: float) -> None:
    """Store a line logged so many days ago, of a job that stays."""
    with all_tenants():
        JobLog.objects.create(
            id=old_id(days),
            tenant=tenant,
            job_id=old_id(days + 0.01),
            execution_id=old_id(days),
            attempt=1,
            level=JobLog.Level.INFO,
            message=f"{days:g}",
            at=timezone.now() - timedelta(days=days),
        )


def lines_of(tenant: Tenant) -> list[str]:
    with tenant_context(tenant):
        return list(JobLog.objects.order_by("id").values_list("message", flat=True))


def test_log_lines_are_removed_by_each_tenants_plan(acme: Tenant, globex: Tenant) -> None:
    with all_tenants():
        keep(acme, job_logs=30)
        keep(globex, job_logs=7)
    for tenant in (acme, globex):
        for days in (40, 20, 10, 9, 6):
            old_line(tenant, days=days)
    run = run_upkeep(name="history", batch_rows=2)
    assert (run.outcome, run.counts["joblog"]) == ("ok", 5)
    assert lines_of(acme) == ["20", "10", "9", "6"]
    assert lines_of(globex) == ["6"]
    assert run_upkeep(name="history").counts["joblog"] == 0


def test_charges_are_removed_by_plan_and_the_ledger_balances(acme: Tenant, globex: Tenant) -> None:
    with all_tenants():
        keep(acme, charges=400, executions=400)
        keep(globex, charges=30, executions=90)
    for tenant in (acme, globex):
        for days in (60, 40, 20):
            old_history(tenant, days=days)
    assert run_upkeep(name="history", batch_rows=2).outcome == "ok"
    assert faults_of("ledger") == []
    with tenant_context(globex):
        kept = Charge.objects.exclude(reason="closing")
        assert (kept.count(), Execution.objects.count()) == (2, 3)
        assert sum(Charge.objects.filter(reason="closing").values_list("microseconds", flat=True)) == 2_000
    with tenant_context(acme):
        assert Charge.objects.count() == 6
