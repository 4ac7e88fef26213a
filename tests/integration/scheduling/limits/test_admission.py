"""Limits at submission and dispatch: which jobs are refused, which wait, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F

from scheduling.exceptions import QuotaExceededError, RateLimitedError
from scheduling.fleet.workers import Registration
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.retries import retry_job
from scheduling.jobs.submission import submit_job, submit_jobs
from scheduling.limits import admission, rate_buckets
from scheduling.limits.admission import expire_limits
from scheduling.limits.declared import PEAK_MEMORY, WORKER_SECONDS
from scheduling.models import Charge, Execution, FairShareNode, Job
from tenants.context import all_tenants, tenant_context
from tenants.limits.declared import format_moment, month_end, month_of
from tenants.limits.service import clear_tenant_limit, set_tenant_limit
from tenants.models import AuditLogEntry, LimitWarning, Plan, PlanLimit, Tenant, TenantUsage
from tenants.plans.service import update_plan
from tenants.signals import limit_warned
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import (
    Start,
    Tick,
    begin,
    complete,
    fail,
    in_flight,
    reasons_of,
    reload,
    submit,
)
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db

NOOP = JobRequest("noop")


def worker_us(tenant: Tenant) -> int:
    with all_tenants():
        usage = TenantUsage.objects.filter(tenant=tenant, key=WORKER_SECONDS.key, period=month_of(datetime.now(UTC)))
        return usage.values_list("amount", flat=True).first() or 0


def use_up(tenant: Tenant) -> None:
    """Let the tenant have used its whole limit of one second of worker time."""
    with all_tenants():
        TenantUsage.objects.update_or_create(
            tenant=tenant,
            key=WORKER_SECONDS.key,
            period=month_of(datetime.now(UTC)),
            defaults={"amount": 1_000_000},
        )
    set_tenant_limit(tenant=tenant, key=WORKER_SECONDS.key, value=1, reason="test")


def limit_rate(tenant: Tenant, *, per_minute: int, burst: int) -> None:
    set_tenant_limit(tenant=tenant, key="submits_per_minute", value=per_minute, reason="test")
    set_tenant_limit(tenant=tenant, key="submit_burst", value=burst, reason="test")


# Rates ---------------------------------------------------------------------------------------------


def test_bulk_over_the_rate_accepts_the_first_jobs(acme: Tenant) -> None:
    limit_rate(acme, per_minute=60, burst=3)
    bulk = submit_jobs(tenant=acme, requests=[NOOP, JobRequest("nope"), *[NOOP] * 4], is_rate_limited=True)
    assert [index for index, _ in bulk.accepted] == [0, 2, 3]
    late = [(index, error) for index, error in bulk.rejected if isinstance(error, RateLimitedError)]
    assert [(index, error.retry_after_seconds) for index, error in late] == [(4, 1), (5, 2)]
    assert late[0][1].limit is not None
    assert late[0][1].limit.key == "submits_per_minute"
    assert bulk.rate is not None
    assert (bulk.rate.burst, bulk.rate.remaining) == (3, 0)
    with tenant_context(acme):
        assert Job.objects.count() == 3


def test_repeated_key_costs_no_token(acme: Tenant) -> None:
    limit_rate(acme, per_minute=1, burst=1)
    request = JobRequest("noop", idempotency_key="k")
    assert submit_job(tenant=acme, request=request, is_rate_limited=True).created
    again = submit_job(tenant=acme, request=request, is_rate_limited=True)
    assert not again.created
    with pytest.raises(RateLimitedError):
        submit_job(tenant=acme, request=NOOP, is_rate_limited=True)


def test_refused_job_costs_no_token(acme: Tenant) -> None:
    limit_rate(acme, per_minute=1, burst=1)
    for _ in range(3):
        assert submit_jobs(tenant=acme, requests=[JobRequest("nope")], is_rate_limited=True).rejected
    assert submit_job(tenant=acme, request=NOOP, is_rate_limited=True).created


def test_failed_submission_returns_its_tokens(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_rate(acme, per_minute=1, burst=2)

    def fail_to_store(*_: Any, **__: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("scheduling.jobs.submission.store_jobs", fail_to_store)
        with pytest.raises(RuntimeError):
            submit_jobs(tenant=acme, requests=[NOOP] * 2, is_rate_limited=True)
    assert len(submit_jobs(tenant=acme, requests=[NOOP] * 2, is_rate_limited=True).accepted) == 2


def test_all_or_none_takes_no_tokens_if_refused(acme: Tenant) -> None:
    limit_rate(acme, per_minute=1, burst=2)
    with pytest.raises(RateLimitedError):
        submit_jobs(tenant=acme, requests=[NOOP] * 3, is_rate_limited=True, is_atomic=True)
    with tenant_context(acme):
        assert not Job.objects.exists()
    assert len(submit_jobs(tenant=acme, requests=[NOOP] * 2, is_rate_limited=True).accepted) == 2


def test_submission_by_the_platform_is_not_rated(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    limit_rate(acme, per_minute=1, burst=1)
    (job,) = submit(acme)
    submit(acme, 5)
    tick()
    fail(start, job, is_permanent=True)
    with tenant_context(acme):
        assert retry_job(job_id=job.pk).is_new
    assert submit_job(tenant=acme, request=NOOP, is_rate_limited=True).created


def test_rate_of_zero_refuses_every_submission(acme: Tenant) -> None:
    limit_rate(acme, per_minute=0, burst=10)
    with pytest.raises(RateLimitedError) as refusal:
        submit_job(tenant=acme, request=NOOP, is_rate_limited=True)
    assert refusal.value.limit is not None
    assert refusal.value.limit.resets_at is None


def test_new_rate_applies_at_once(acme: Tenant) -> None:
    limit_rate(acme, per_minute=1, burst=1)
    submit_job(tenant=acme, request=NOOP, is_rate_limited=True)
    limit_rate(acme, per_minute=1, burst=2)
    assert submit_job(tenant=acme, request=NOOP, is_rate_limited=True).created


def test_submission_without_the_broker_is_rated_by_the_process(
    acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(REDIS_URL="redis://127.0.0.1:1/0")
    rate_buckets._script.cache_clear()
    try:
        limit_rate(acme, per_minute=1, burst=2)
        bulk = submit_jobs(tenant=acme, requests=[NOOP] * 3, is_rate_limited=True)
        assert (len(bulk.accepted), len(bulk.rejected)) == (2, 1)
    finally:
        rate_buckets._script.cache_clear()
        rate_buckets._outage.__init__()  # type: ignore[misc]


# Waiting jobs --------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_concurrent_submissions_do_not_exceed_the_limit(acme: Tenant) -> None:
    set_tenant_limit(tenant=acme, key="max_waiting_jobs", value=5, reason="test")

    def attempt(_: int) -> int:
        try:
            return len(submit_jobs(tenant=acme, requests=[NOOP] * 2).accepted)
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as threads:
        accepted = list(threads.map(attempt, range(10)))
    assert sum(accepted) == 5
    with tenant_context(acme):
        assert Job.objects.count() == 5


def test_submissions_far_from_the_limit_take_no_lock(acme: Tenant, django_assert_num_queries: Any) -> None:
    with tenant_context(acme):
        set_tenant_limit(tenant=acme, key="max_waiting_jobs", value=100_000, reason="test")
        with django_assert_num_queries(2):
            admission.SubmissionAllowance.read(acme.pk, wanted=1)
        set_tenant_limit(tenant=acme, key="max_waiting_jobs", value=1_000, reason="test")
        with django_assert_num_queries(4):
            admission.SubmissionAllowance.read(acme.pk, wanted=1)


def test_tenant_near_its_waiting_jobs_limit_is_warned_once(acme: Tenant) -> None:
    set_tenant_limit(tenant=acme, key="max_waiting_jobs", value=10, reason="test")
    submit(acme, 7)
    with all_tenants():
        assert not LimitWarning.objects.exists()
    submit(acme, 1)
    submit(acme, 1)
    with all_tenants():
        assert [(row.key, row.percent) for row in LimitWarning.objects.all()] == [("max_waiting_jobs", 80)]


# Worker time ---------------------------------------------------------------------------------------


def test_counted_worker_time_equals_the_measured_one(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    jobs = [*submit(acme, 3), *submit(globex, 1)]
    tick()
    for job in jobs:
        complete(start, job)
        tick()  # in several folds
    with all_tenants():
        for tenant in (acme, globex):
            measured = list(Execution.objects.filter(tenant=tenant).values_list("measured_us", flat=True))
            assert measured
            assert worker_us(tenant) == sum(measured)
    assert faults_of("usage") == []


def test_unfolded_usage_is_no_difference(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme)
    tick()
    complete(start, job)
    assert faults_of("usage") == []
    assert worker_us(acme) == 0


def test_wrong_counter_is_found_and_repaired(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    complete(start, job)
    tick()
    right = worker_us(acme)
    with all_tenants():
        TenantUsage.objects.filter(tenant=acme, key=WORKER_SECONDS.key).update(amount=right + 7)
        TenantUsage.objects.create(tenant=globex, key=WORKER_SECONDS.key, period=month_of(datetime.now(UTC)), amount=5)
    month = f"{month_of(datetime.now(UTC)):%Y-%m}"
    sentences = {
        acme.pk: f"Tenant {acme.pk} has {right + 7:,} µs counted for {month}, but {right:,} are due.",
        globex.pk: f"Tenant {globex.pk} has 5 µs counted for {month}, but 0 are due.",
    }
    assert {fault.tenant_id: str(fault.detail) for fault in faults_of("usage")} == sentences
    with pytest.raises(CommandError):
        call_command("verify", "usage", "--json", stdout=StringIO())
    call_command("verify", "usage", "--repair", stdout=StringIO())
    assert (worker_us(acme), worker_us(globex)) == (right, 0)
    assert faults_of("usage") == []
    with all_tenants():
        entries = AuditLogEntry.objects.filter(action="state.repaired", target_id="usage_counter")
        assert {entry.tenant_id: entry.before["examples"] for entry in entries} == {
            tenant: [sentence] for tenant, sentence in sentences.items()
        }


def test_execution_charged_other_than_measured_is_found_and_not_repaired(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    for job in submit(acme, 2):
        tick()
        complete(start, job)
    with all_tenants():
        first, second = Charge.objects.filter(reason="corrected").order_by("id")
        Charge.objects.filter(pk=first.pk).update(microseconds=F("microseconds") + 7_200_000_000)
        Charge.objects.filter(pk=second.pk).update(microseconds=F("microseconds") - 7_200_000_000)
    tick()
    assert faults_of("ledger") == []
    found = faults_of("usage")
    assert {fault.code for fault in found} == {"execution_charge"}
    assert {fault.subject for fault in found} == {f"execution {row.execution_id}" for row in (first, second)}
    with pytest.raises(CommandError, match="2 faults are left"):
        call_command("verify", "usage", "--repair", stdout=StringIO())
    assert faults_of("usage") == found


def test_worker_time_counts_for_the_month_of_the_executions_end(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    complete(start, job)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_settled SET ended_at = '2026-01-31 23:59:59.9+00', measured_us = 42")
    tick()
    with all_tenants():
        (usage,) = TenantUsage.objects.filter(tenant=acme, key=WORKER_SECONDS.key)
    assert (usage.period, usage.amount) == (date(2026, 1, 1), 42)


def test_submission_in_a_used_up_month_is_refused_with_reset_time(acme: Tenant) -> None:
    use_up(acme)
    with pytest.raises(QuotaExceededError) as refusal:
        submit_job(tenant=acme, request=NOOP)
    reached = refusal.value.limit
    assert reached is not None
    assert (reached.key, reached.allowed, reached.used) == (WORKER_SECONDS.key, 1, 1)
    assert reached.resets_at == month_end(datetime.now(UTC))
    assert refusal.value.retry_after_seconds is not None
    until_reset = (reached.resets_at - datetime.now(UTC)).total_seconds()
    assert abs(refusal.value.retry_after_seconds - until_reset) < 60


def test_used_up_month_holds_waiting_jobs_of_its_tenant_only(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration
) -> None:
    held = submit(acme, 2)
    others = submit(globex, 1)
    use_up(acme)
    tick()
    assert [job.pk for job in in_flight()] == [job.pk for job in others]
    with tenant_context(acme):
        reasons = reasons_of(reload(held[0]))
    assert "worker_seconds_used_up" in [reason.code for reason in reasons]
    assert any(format_moment(month_end(datetime.now(UTC))) in reason.detail for reason in reasons)


def test_running_job_continues_when_the_month_is_used_up(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    begun = begin(start, job)
    use_up(acme)
    tick()
    assert reload(job).state == "executing"
    assert begun


def test_fold_using_the_month_up_holds_the_rest_in_its_tick(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    set_tenant_limit(tenant=acme, key=WORKER_SECONDS.key, value=1, reason="test")
    set_tenant_limit(tenant=acme, key="max_concurrency", value=1, reason="test")
    first, second = submit(acme, 2)
    tick()
    complete(start, first)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_settled SET measured_us = 1000000")
    assert tick().dispatched == 0
    assert reload(second).state == "available"
    with all_tenants():
        assert not FairShareNode.objects.get(tenant=acme).is_runnable
        percents = LimitWarning.objects.filter(tenant=acme, key=WORKER_SECONDS.key).values_list("percent", flat=True)
        assert sorted(percents) == [80, 100]


def test_fold_using_the_month_up_holds_a_tenant_below_its_cap(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    """Re-evaluate the tenant in every queue, though only the fold requires it."""
    set_tenant_limit(tenant=acme, key=WORKER_SECONDS.key, value=1, reason="test")
    set_tenant_limit(tenant=acme, key="max_concurrency", value=10, reason="test")
    jobs = [*submit(acme, 6), *submit(acme, 2, kind="document_indexing", payload={"document_id": str(acme.pk)})]
    assert tick().dispatched == worker.slots == 4
    running = {job.pk for job in in_flight()}
    complete(start, next(job for job in jobs if job.pk in running))
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_settled SET measured_us = 1000000")
    assert tick().dispatched == 0
    with all_tenants():
        assert list(FairShareNode.objects.filter(tenant=acme).values_list("is_runnable", flat=True)) == [False] * 2


@pytest.mark.parametrize("way", ["override", "plan", "clear", "expire"])
def test_held_tenant_runs_in_the_next_tick_after_a_change(
    acme: Tenant, tick: Tick, worker: Registration, way: str
) -> None:
    submit(acme)
    use_up(acme)
    assert tick().dispatched == 0
    if way == "override":
        set_tenant_limit(tenant=acme, key=WORKER_SECONDS.key, value=2, reason="more")
    elif way == "clear":
        clear_tenant_limit(tenant=acme, key=WORKER_SECONDS.key, reason="over")
    elif way == "expire":
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute("UPDATE tenants_tenantlimit SET expires_at = now() - interval '1 second'")
        expire_limits()
    else:
        with all_tenants():
            plan = Plan.objects.get(pk=acme.plan_id)
        clear_tenant_limit(tenant=acme, key=WORKER_SECONDS.key, reason="the plan counts")
        update_plan(plan=plan, changes={"worker_seconds_per_month": 0})
        assert tick().dispatched == 0
        update_plan(plan=plan, changes={"worker_seconds_per_month": 50})
    assert tick().dispatched == 1


def test_held_tenant_runs_in_a_new_month(acme: Tenant, tick: Tick, worker: Registration) -> None:
    submit(acme)
    use_up(acme)
    assert tick().dispatched == 0
    last = month_of(datetime.now(UTC)) - timedelta(days=1)
    with all_tenants():
        # The month changes: this month is now the last.
        TenantUsage.objects.filter(tenant=acme).delete()
        LimitWarning.objects.filter(tenant=acme).update(period=last.replace(day=1))
    assert tick().dispatched == 0  # not re-evaluated yet
    expire_limits()
    assert tick().dispatched == 1
    with all_tenants():
        assert not LimitWarning.objects.filter(percent=100, is_released=False).exists()


# Warnings ------------------------------------------------------------------------------------------


@pytest.fixture
def warnings_sent() -> Iterator[list[tuple[str, int]]]:
    warnings: list[tuple[str, int]] = []

    def hear(*, key: str, percent: int, **_: object) -> None:
        warnings.append((key, percent))

    limit_warned.connect(hear)
    yield warnings
    limit_warned.disconnect(hear)


def fold(tick: Tick, *, measured_us: int, peak_kib: int | None = None) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_settled SET measured_us = %s, peak_memory_kib = %s", [measured_us, peak_kib])
    tick()


@pytest.mark.django_db(transaction=True)
def test_warning_is_sent_once_for_each_part_of_the_month(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, warnings_sent: list[tuple[str, int]]
) -> None:
    set_tenant_limit(tenant=acme, key=WORKER_SECONDS.key, value=10, reason="test")
    jobs = submit(acme, 4)
    tick()
    expected: list[list[tuple[str, int]]] = [[], [(WORKER_SECONDS.key, 80)], [], [(WORKER_SECONDS.key, 100)]]
    for job, seconds, new in zip(jobs, (7.9, 0.1, 1.0, 1.0), expected, strict=True):
        complete(start, job)
        warnings_sent.clear()
        fold(tick, measured_us=int(seconds * 1_000_000))
        assert warnings_sent == new
    # A reduced plan limit warns at once, and not again of the same level.
    warnings_sent.clear()
    set_tenant_limit(tenant=acme, key=WORKER_SECONDS.key, value=5, reason="test")
    assert warnings_sent == []


def test_monthly_peak_is_stored_and_warned_of(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    with all_tenants():
        PlanLimit.objects.create(plan_id=acme.plan_id, key=PEAK_MEMORY.key, value=100)
    jobs = submit(acme, 4)
    tick()
    for job, peak in zip(jobs, (50_000, 90_000, 70_000, None), strict=True):
        complete(start, job)
        fold(tick, measured_us=1, peak_kib=peak)
    with all_tenants():
        assert TenantUsage.objects.get(tenant=acme, key=PEAK_MEMORY.key).amount == 90_000
        assert LimitWarning.objects.get(tenant=acme, key=PEAK_MEMORY.key).percent == 80
