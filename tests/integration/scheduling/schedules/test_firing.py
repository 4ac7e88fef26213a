"""Firing: each time once, catch-up, overlaps, refusals, and isolation from a failing schedule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from scheduling.kit import registry
from scheduling.models import Job, Schedule
from scheduling.schedules import firing
from scheduling.schedules.definitions import pause_schedule
from scheduling.schedules.firing import fire_due_schedules
from scheduling.schedules.runs import backfill_schedule, run_schedule_now
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tenants.plans.service import update_plan
from tenants.tenancy.service import pause_tenant, suspend_tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, submit
from tests.integration.scheduling.schedules.conftest import (
    MakeSchedule,
    database_now,
    fires_of,
    make_due,
    minute_ago,
    outcomes_of,
    reload,
)

pytestmark = pytest.mark.django_db


def test_due_schedule_submits_its_job_once(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(
        acme, due_minutes_ago=0, kind="sleep", payload={"seconds": 1}, priority=3, tags=["night"], fair_key="ann"
    )
    assert fire_due_schedules() == 1
    assert fire_due_schedules() == 0
    (fire,) = fires_of(schedule)
    job = fire.job
    assert job is not None
    assert (fire.outcome, fire.trigger, fire.fire_time) == ("submitted", "cron", minute_ago(0))
    assert (job.kind, job.payload, job.priority, job.tags, job.fair_key) == (
        "sleep",
        {"seconds": 1},
        3,
        ["night"],
        "ann",
    )
    after = reload(schedule)
    assert after.next_fire_at == minute_ago(-1)
    assert after.last_fire_at == fire.fire_time
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="job.submitted", target_id=str(job.pk))
    assert (entry.actor_kind, entry.actor_label, entry.tenant_id) == ("system", "schedule", acme.pk)


def test_interval_fires_each_of_its_times_once(acme: Tenant, make_schedule: MakeSchedule) -> None:
    values = {"cron": "", "interval_seconds": 120, "starts_at": minute_ago(5), "catch_up_policy": "all"}
    schedule = make_schedule(acme, due_minutes_ago=5, **values)
    assert (fire_due_schedules(), fire_due_schedules()) == (1, 0)
    assert [(fire.fire_time, fire.outcome) for fire in fires_of(schedule)] == [
        (minute_ago(count), "submitted") for count in (5, 3, 1)
    ]
    assert reload(schedule).next_fire_at == minute_ago(-1)


def test_single_time_fires_once_and_ends_the_schedule(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme, cron="", once_at=minute_ago(-5))
    due = make_due(schedule, minutes_ago=0)
    with all_tenants():
        Schedule.objects.update(once_at=due)
    assert (fire_due_schedules(), fire_due_schedules()) == (1, 0)
    assert [fire.fire_time for fire in fires_of(schedule)] == [due]
    ended = reload(schedule)
    assert (ended.next_fire_at, ended.is_enabled) == (None, True)


def test_job_of_a_schedule_has_its_keys(acme: Tenant, make_schedule: MakeSchedule) -> None:
    keys = {"concurrency_key": "account-7", "unique_key": "nightly", "unique_until": "started"}
    schedule = make_schedule(acme, due_minutes_ago=0, **keys)
    fire_due_schedules()
    (fire,) = fires_of(schedule)
    assert {name: getattr(fire.job, name) for name in keys} == keys


@pytest.mark.parametrize("policy", ["allow", "cancel_previous"])
def test_fire_is_skipped_while_a_job_has_the_unique_key(
    acme: Tenant, make_schedule: MakeSchedule, tick: Tick, start: Start, policy: str
) -> None:
    schedule = make_schedule(acme, due_minutes_ago=0, unique_key="x", overlap_policy=policy)
    (holder,) = submit(acme, unique_key="x")
    fire_due_schedules()
    (fire,) = fires_of(schedule)
    assert (fire.outcome, fire.job) == ("skipped_overlap", None)
    assert str(holder.pk) in fire.reason
    tick()
    complete(start, holder)  # it was not cancelled
    make_due(schedule, minutes_ago=1)
    fire_due_schedules()
    assert outcomes_of(schedule) == ["submitted", "skipped_overlap"]


def test_times_of_one_round_share_a_unique_key(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme, due_minutes_ago=2, catch_up_policy="all", unique_key="x")
    fire_due_schedules()
    assert outcomes_of(schedule) == ["submitted", "skipped_overlap", "skipped_overlap"]


def test_schedule_that_is_not_due_or_is_paused_does_not_fire(acme: Tenant, make_schedule: MakeSchedule) -> None:
    make_schedule(acme)
    paused = make_schedule(acme)
    with tenant_context(acme):
        pause_schedule(schedule_id=paused.pk, reason="not now")
    assert fire_due_schedules() == 0


@pytest.mark.parametrize(
    ("policy", "outcomes"),
    [
        ("none", ["skipped_missed"] * 4 + ["submitted"]),
        ("latest", ["skipped_missed"] * 3 + ["submitted"] * 2),
        ("all", ["submitted"] * 5),
    ],
)
def test_outage_is_made_up_by_the_catch_up_policy(
    acme: Tenant, make_schedule: MakeSchedule, policy: str, outcomes: list[str]
) -> None:
    schedule = make_schedule(acme, due_minutes_ago=4, catch_up_policy=policy)
    fire_due_schedules()
    assert outcomes_of(schedule) == outcomes
    assert reload(schedule).next_fire_at == minute_ago(-1)


def test_long_outage_is_recorded_by_its_newest_hundred_fires(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme, due_minutes_ago=60 * 24 * 400, catch_up_policy="none")
    fire_due_schedules()
    fires = fires_of(schedule)
    assert len(fires) == 102
    assert fires[-1].outcome == "submitted"  # the one that is on time
    assert "Earlier missed times" in fires[0].reason
    assert {fire.outcome for fire in fires[:-1]} == {"skipped_missed"}
    assert reload(schedule).next_fire_at > database_now()  # type: ignore[operator]


def test_jitter_delays_the_job_and_not_the_fire(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedules = [make_schedule(acme, due_minutes_ago=0, jitter_seconds=3600) for _ in range(5)]
    fire_due_schedules()
    jobs = [fires_of(schedule)[0].job for schedule in schedules]
    delays = {job.run_at - minute_ago(0) for job in jobs if job is not None}
    assert len(delays) == 5
    assert all(delay <= timedelta(hours=1) for delay in delays)
    # The minute has begun, so a job with a few seconds of jitter may be available already.
    for job in jobs:
        assert job is not None
        assert job.state == ("scheduled" if job.run_at > job.created_at else "available")


def test_schedule_ends_with_its_last_time(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme, ends_at=database_now() + timedelta(hours=1))
    due = make_due(schedule, minutes_ago=2)
    with all_tenants():
        Schedule.objects.filter(pk=schedule.pk).update(ends_at=due, catch_up_policy="all")
    fire_due_schedules()
    assert [fire.fire_time for fire in fires_of(schedule)] == [due]
    assert reload(schedule).next_fire_at is None
    assert fire_due_schedules() == 0


def test_overlap_skip_skips_fires_while_a_run_is_active(
    acme: Tenant, make_schedule: MakeSchedule, tick: Tick, start: Start
) -> None:
    schedule = make_schedule(acme, due_minutes_ago=2, overlap_policy="skip", catch_up_policy="all")
    fire_due_schedules()
    # Of three times in one round only the first is submitted.
    assert outcomes_of(schedule) == ["submitted", "skipped_overlap", "skipped_overlap"]
    job = fires_of(schedule)[0].job
    assert job is not None
    tick()
    complete(start, job)
    with tenant_context(acme):
        Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=minute_ago(0))
        schedule.fires.filter(fire_time=minute_ago(0)).delete()
    fire_due_schedules()
    assert outcomes_of(schedule)[-1] == "submitted"


def test_overlap_queue_one_waits_for_the_end_of_the_previous_run(
    acme: Tenant, make_schedule: MakeSchedule, tick: Tick, start: Start
) -> None:
    schedule = make_schedule(acme, due_minutes_ago=2, overlap_policy="queue_one", catch_up_policy="all")
    fire_due_schedules()
    assert outcomes_of(schedule) == ["submitted", "waiting", "skipped_overlap"]
    assert fire_due_schedules() == 0  # the previous run has not ended
    first = fires_of(schedule)[0].job
    assert first is not None
    tick()
    complete(start, first)
    assert fire_due_schedules() == 1
    assert outcomes_of(schedule) == ["submitted", "submitted", "skipped_overlap"]
    assert fires_of(schedule)[1].reason == ""
    assert fire_due_schedules() == 0


def test_pause_skips_the_queued_run(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme, due_minutes_ago=1, overlap_policy="queue_one", catch_up_policy="all")
    fire_due_schedules()
    with tenant_context(acme):
        pause_schedule(schedule_id=schedule.pk, reason="enough")
    assert outcomes_of(schedule) == ["submitted", "skipped_overlap"]


def test_overlap_cancel_previous_cancels_unfinished_runs(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme, overlap_policy="cancel_previous", catch_up_policy="all")
    with tenant_context(acme):
        before = run_schedule_now(schedule_id=schedule.pk).job
    make_due(schedule, minutes_ago=1)
    fire_due_schedules()
    assert [outcome for outcome in outcomes_of(schedule) if outcome != "submitted"] == ["skipped_overlap"]
    with tenant_context(acme):
        assert Job.objects.get(pk=before.pk).state == "cancelled"  # type: ignore[union-attr]
        assert Job.objects.filter(state="available").count() == 1


def test_refused_fire_stores_the_reason_and_blocks_no_other(
    acme: Tenant, globex: Tenant, make_schedule: MakeSchedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = make_schedule(acme, due_minutes_ago=0, kind="sleep", payload={"seconds": 1})
    sound = make_schedule(acme, due_minutes_ago=0)
    others = make_schedule(globex, due_minutes_ago=0)
    find = registry.get

    def find_unless_gone(kind: str) -> object:
        return find("no such kind" if kind == "sleep" else kind)

    monkeypatch.setattr(registry, "get", find_unless_gone)
    fire_due_schedules()
    (refused,) = fires_of(gone)
    assert refused.outcome == "refused"
    assert refused.reason.startswith("kind_unknown")
    assert refused.job is None
    assert outcomes_of(sound) == outcomes_of(others) == ["submitted"]
    assert reload(gone).is_enabled  # it is retried at its next time


def test_limits_refuse_fires(acme: Tenant, make_schedule: MakeSchedule) -> None:
    update_plan(plan=acme.plan, changes={"max_waiting_jobs": 1})
    schedules = [make_schedule(acme, due_minutes_ago=0) for _ in range(2)]
    fire_due_schedules()
    assert sorted(outcome for schedule in schedules for outcome in outcomes_of(schedule)) == ["refused", "submitted"]


def test_fires_are_refused_if_suspended_and_submitted_if_paused(
    acme: Tenant, globex: Tenant, make_schedule: MakeSchedule
) -> None:
    suspended, paused = make_schedule(acme, due_minutes_ago=0), make_schedule(globex, due_minutes_ago=0)
    suspend_tenant(tenant=acme, reason="unpaid")
    pause_tenant(tenant=globex, reason="maintenance")
    fire_due_schedules()
    (refused,) = fires_of(suspended)
    assert (refused.outcome, refused.reason.split(":")[0]) == ("refused", "tenant_suspended")
    assert outcomes_of(paused) == ["submitted"]


def test_unknown_time_zone_disables_only_its_schedule(acme: Tenant, make_schedule: MakeSchedule) -> None:
    lost, sound = (make_schedule(acme, due_minutes_ago=0) for _ in range(2))
    with all_tenants():
        Schedule.objects.filter(pk=lost.pk).update(timezone="Atlantis/Capital")
    fire_due_schedules()
    disabled = reload(lost)
    assert (disabled.is_enabled, disabled.next_fire_at) == (False, None)
    assert "no such time zone" in disabled.pause_reason
    assert outcomes_of(lost) == []
    assert outcomes_of(sound) == ["submitted"]


def test_failing_schedule_is_disabled_and_others_fire(
    acme: Tenant, globex: Tenant, make_schedule: MakeSchedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = (make_schedule(acme, due_minutes_ago=0) for _ in range(2))
    others = make_schedule(globex, due_minutes_ago=0)
    request_of = firing.submit_fires.__globals__["request_of"]

    def break_for(schedule: Schedule, *args: object) -> object:
        if schedule.pk == broken.pk:
            raise ZeroDivisionError
        return request_of(schedule, *args)

    monkeypatch.setitem(firing.submit_fires.__globals__, "request_of", break_for)
    fire_due_schedules()
    assert reload(broken).pause_reason == "It cannot be fired: ZeroDivisionError."
    assert outcomes_of(broken) == []
    assert outcomes_of(sound) == outcomes_of(others) == ["submitted"]


@pytest.mark.parametrize("step", ["_submit", "cancel_superseded", "record_fires"])
def test_crash_while_firing_leaves_nothing_and_the_next_round_fires_once(
    acme: Tenant, make_schedule: MakeSchedule, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    schedule = make_schedule(acme, due_minutes_ago=0)

    class Death(BaseException):
        """What no `except Exception` holds up."""

    def die(*_: object) -> None:
        raise Death

    with monkeypatch.context() as patch, pytest.raises(Death):
        patch.setattr(firing, step, die)
        fire_due_schedules()
    assert outcomes_of(schedule) == []
    with all_tenants():
        assert not Job.objects.exists()
    fire_due_schedules()
    assert outcomes_of(schedule) == ["submitted"]


def test_time_taken_by_a_backfill_is_not_fired_again(
    acme: Tenant, make_schedule: MakeSchedule, count_jobs: Callable[[], int]
) -> None:
    schedule = make_schedule(acme, due_minutes_ago=1, catch_up_policy="all")
    with tenant_context(acme):
        backfill_schedule(schedule_id=schedule.pk, since=minute_ago(1), until=minute_ago(1), is_dry_run=False)
    fire_due_schedules()
    assert outcomes_of(schedule) == ["submitted", "submitted"]
    assert count_jobs() == 2


def test_firing_round_is_bounded_and_takes_the_longest_due_first(acme: Tenant, make_schedule: MakeSchedule) -> None:
    late, later = make_schedule(acme, due_minutes_ago=5), make_schedule(acme, due_minutes_ago=9)
    assert fire_due_schedules(limit=1) == 1
    assert outcomes_of(late) == []
    assert outcomes_of(later) != []
