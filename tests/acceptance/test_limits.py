"""Limits with real processes: a job above its memory limit, and an exhausted monthly limit."""

from __future__ import annotations

import time

import pytest

from scheduling.diagnosis.service import diagnose
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.models import DeadLetter
from tenants.context import all_tenants, tenant_context
from tenants.limits.service import clear_tenant_limit, set_tenant_limit
from tenants.models import Tenant, TenantUsage
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import executions_of, submit, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.core]

LIMIT_MIB = 500


def test_job_beyond_memory_limit_fails_and_other_jobs_complete(platform: Platform, acme: Tenant) -> None:
    set_tenant_limit(tenant=acme, key="peak_memory_mib", value=LIMIT_MIB, reason="test")
    (greedy,) = submit(acme, "allocate", {"mebibytes": LIMIT_MIB + 200, "seconds": 60})
    (modest,) = submit(acme, "allocate", {"mebibytes": 1, "seconds": 2})
    greedy = wait_for(greedy, "discarded")
    assert (greedy.attempt, greedy.crash_count, greedy.error_type) == (1, 0, "memory_limit_exceeded")
    assert f"{LIMIT_MIB} MiB" in greedy.error_message
    (ended,) = executions_of(greedy)
    assert ended.outcome == "failed"
    assert ended.peak_memory_kib is not None
    assert ended.peak_memory_kib > LIMIT_MIB * 1024
    with all_tenants():
        assert DeadLetter.objects.get(job_id=greedy.pk).reason == "permanent_error"
    modest = wait_for(modest, "completed")
    (ended,) = executions_of(modest)
    assert ended.peak_memory_kib is not None
    assert 1024 < ended.peak_memory_kib < LIMIT_MIB * 1024
    (after,) = submit(acme, "noop")
    wait_for(after, "completed")


def cpu_us_of(tenant: Tenant) -> int:
    with all_tenants():
        amounts = TenantUsage.objects.filter(tenant=tenant, key="cpu_seconds_per_month").values_list(
            "amount", flat=True
        )
        return amounts.first() or 0


def test_used_up_processor_time_holds_jobs_until_override(platform: Platform, acme: Tenant) -> None:
    set_tenant_limit(tenant=acme, key="cpu_seconds_per_month", value=1, reason="test")
    # Each is ended after two seconds, twice; a busy machine gives it little of them.
    spins = submit(acme, "spin", *[{"seconds": 60}] * 20)
    deadline = time.monotonic() + 60
    while cpu_us_of(acme) < 1_000_000 and time.monotonic() < deadline:
        time.sleep(0.1)
    ended = [execution for spin in spins for execution in executions_of(spin)]
    measured = [execution.cpu_us or 0 for execution in ended if execution.outcome == "timed_out"]
    assert measured
    assert all(0 < cpu_us < 4_000_000 for cpu_us in measured)
    (other,) = submit(acme, "noop")
    with tenant_context(acme):
        explanation = why_waiting(other)
    assert explanation is not None
    assert "cpu_seconds_used_up" in [reason.code for reason in explanation.reasons]
    with tenant_context(acme):
        cancel_jobs(job_ids=[spin.pk for spin in spins])
    clear_tenant_limit(tenant=acme, key="cpu_seconds_per_month", reason="test")
    other = wait_for(other, "completed")
    (ended_other,) = executions_of(other)
    assert ended_other.cpu_us is not None
    assert ended_other.cpu_us < 1_000_000
    assert ended_other.io_bytes is not None


def test_diagnosis_says_how_children_are_limited(platform: Platform) -> None:
    (check,) = [check for check in diagnose().checks if check.code == "child_limits"]
    assert check.state == "ok"
    assert any(mode in check.measured for mode in ("cgroup v1", "cgroup v2", "process limits"))


def test_exhausted_monthly_limit_holds_jobs_until_override(platform: Platform, acme: Tenant) -> None:
    set_tenant_limit(tenant=acme, key="worker_seconds_per_month", value=1, reason="test")
    set_tenant_limit(tenant=acme, key="max_concurrency", value=1, reason="test")
    first, second = submit(acme, "sleep", {"seconds": 1.2}, {"seconds": 0})
    wait_for(first, "completed")
    (other,) = executions_of(first)
    assert other.measured_us > 1_000_000
    assert wait_for(second, "available")
    clear_tenant_limit(tenant=acme, key="worker_seconds_per_month", reason="test")
    wait_for(second, "completed")
