"""Runs on request: run now, and backfill."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from scheduling.exceptions import BackfillInvalidError, QuotaExceededError
from scheduling.models import ScheduleFire
from scheduling.schedules.definitions import pause_schedule
from scheduling.schedules.firing import fire_due_schedules
from scheduling.schedules.runs import backfill_schedule, run_schedule_now
from tenants.context import tenant_context
from tenants.models import Tenant
from tenants.plans.service import update_plan
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.schedules.conftest import MakeSchedule, fires_of, minute_ago, outcomes_of, reload

pytestmark = pytest.mark.django_db


def test_run_now_creates_job_and_fire_and_keeps_the_next_time(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme, payload={"a": 1}, overlap_policy="skip")
    with tenant_context(acme):
        pause_schedule(schedule_id=schedule.pk, reason="by hand only")
        fire = run_schedule_now(schedule_id=schedule.pk, reason="asked for")
    assert fire.job is not None
    assert fire.job.payload == {"a": 1}
    (kept,) = fires_of(schedule)
    assert (kept.trigger, kept.outcome, kept.job_id) == ("manual", "submitted", fire.job_id)
    assert reload(schedule).next_fire_at is None


def test_refused_run_now_leaves_nothing(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme)
    update_plan(plan=acme.plan, changes={"max_waiting_jobs": 0})
    with tenant_context(acme), pytest.raises(QuotaExceededError):
        run_schedule_now(schedule_id=schedule.pk)
    assert fires_of(schedule) == []


def test_run_now_returns_the_job_that_has_the_unique_key(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme, unique_key="x")
    (holder,) = submit(acme, unique_key="x")
    with tenant_context(acme):
        fire = run_schedule_now(schedule_id=schedule.pk)
    assert (fire.job_id, fire.outcome) == (holder.pk, "skipped_overlap")
    assert fires_of(schedule) == []


def test_backfill_leaves_out_times_while_a_job_has_the_unique_key(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme, unique_key="x")
    with tenant_context(acme):
        done = backfill_schedule(schedule_id=schedule.pk, since=minute_ago(3), until=minute_ago(1), is_dry_run=False)
    assert (done.submitted, [time for time, _ in done.refused]) == (1, [minute_ago(2), minute_ago(1)])
    assert "unique key" in done.refused[0][1]
    assert outcomes_of(schedule) == ["submitted"]


def test_backfill_dry_run_lists_the_times_and_submits_nothing(
    acme: Tenant, make_schedule: MakeSchedule, count_jobs: Callable[[], int]
) -> None:
    schedule = make_schedule(acme)
    with tenant_context(acme):
        plan = backfill_schedule(schedule_id=schedule.pk, since=minute_ago(3), until=minute_ago(1), is_dry_run=True)
    assert list(plan.times) == [minute_ago(3), minute_ago(2), minute_ago(1)]  # both bounds are inclusive
    assert (plan.skipped, plan.submitted, count_jobs()) == (0, 0, 0)


def test_backfill_submits_times_without_a_job_once(
    acme: Tenant, make_schedule: MakeSchedule, count_jobs: Callable[[], int]
) -> None:
    schedule = make_schedule(acme, due_minutes_ago=4, catch_up_policy="none")
    fire_due_schedules()
    assert outcomes_of(schedule) == ["skipped_missed"] * 4 + ["submitted"]
    with tenant_context(acme):
        filled = backfill_schedule(schedule_id=schedule.pk, since=minute_ago(9), until=minute_ago(0), is_dry_run=False)
        again = backfill_schedule(schedule_id=schedule.pk, since=minute_ago(9), until=minute_ago(0), is_dry_run=False)
    assert (filled.submitted, filled.skipped) == (9, 1)  # the missed ones are submitted as well
    assert (again.submitted, again.skipped, list(again.times)) == (0, 10, [])
    assert count_jobs() == 10
    assert {fire.outcome for fire in fires_of(schedule)} == {"submitted"}
    assert [fire.trigger for fire in fires_of(schedule)] == ["backfill"] * 9 + ["cron"]
    assert len({fire.job_id for fire in fires_of(schedule)}) == 10


def test_refused_backfill_times_are_reported_and_can_be_retried(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme)
    update_plan(plan=acme.plan, changes={"max_waiting_jobs": 2})
    with tenant_context(acme):
        first = backfill_schedule(schedule_id=schedule.pk, since=minute_ago(3), until=minute_ago(1), is_dry_run=False)
        update_plan(plan=acme.plan, changes={"max_waiting_jobs": 9})
    assert first.submitted == 2
    assert [(time, reason.split(":")[0]) for time, reason in first.refused] == [(minute_ago(1), "quota_exceeded")]
    assert len(fires_of(schedule)) == 2
    acme.plan.refresh_from_db()
    with tenant_context(acme):
        again = backfill_schedule(schedule_id=schedule.pk, since=minute_ago(3), until=minute_ago(1), is_dry_run=False)
    assert (again.submitted, again.skipped) == (1, 2)


def test_refusal_reason_is_stored_in_english(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme)
    update_plan(plan=acme.plan, changes={"max_waiting_jobs": 0})
    with tenant_context(acme), translation.override("zh-hans"):
        plan = backfill_schedule(schedule_id=schedule.pk, since=minute_ago(1), until=minute_ago(1), is_dry_run=False)
    assert [reason for _time, reason in plan.refused] == ["quota_exceeded: The plan allows 0 waiting jobs."]


@pytest.mark.parametrize(
    ("since", "until", "why"),
    [
        (timedelta(minutes=1), timedelta(minutes=2), "before from"),
        (timedelta(minutes=1), timedelta(minutes=-2), "future"),
        (timedelta(days=2), timedelta(0), "more than 1000"),
        (datetime(1970, 1, 1, tzinfo=UTC), timedelta(0), "more than 1000"),
    ],
)
def test_invalid_backfill_span_is_refused(
    acme: Tenant,
    make_schedule: MakeSchedule,
    now: datetime,
    since: timedelta | datetime,
    until: timedelta,
    why: str,
) -> None:
    schedule = make_schedule(acme)
    begin = since if isinstance(since, datetime) else now - since
    with tenant_context(acme), pytest.raises(BackfillInvalidError, match=why) as refused:
        backfill_schedule(schedule_id=schedule.pk, since=begin, until=now - until, is_dry_run=True)
    assert refused.value.errors[0]["field"] == "to"


def test_backfill_of_a_thousand_times_is_accepted(acme: Tenant, make_schedule: MakeSchedule, now: datetime) -> None:
    schedule = make_schedule(acme)
    with tenant_context(acme):
        filled = backfill_schedule(
            schedule_id=schedule.pk, since=minute_ago(1_000), until=minute_ago(1), is_dry_run=False
        )
        assert ScheduleFire.objects.filter(schedule=schedule).count() == filled.submitted == 1_000
