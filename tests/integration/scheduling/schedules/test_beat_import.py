"""Periodic tasks that become schedules: values, what stays and why, and no due time twice."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from scheduling.jobs.requests import JobRequest
from scheduling.models import Schedule
from scheduling.schedules.beat_submissions import PeriodicTaskDisabledError, submit_beat_task
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant

pytestmark = pytest.mark.django_db
JOB = {"tenant": "acme", "kind": "noop", "payload": {"report": "sales"}, "priority": 2, "queue": None, "tags": ["a"]}
FAIR_TASK = "workloads.diagnostics.tasks.noop_task"


@pytest.fixture(autouse=True)
def only_own_tasks(db: None) -> None:
    PeriodicTask.objects.all().delete()


def task(name: str = "nightly", **values: Any) -> PeriodicTask:
    if not {"interval", "crontab", "clocked", "solar"} & set(values):
        values["interval"] = IntervalSchedule.objects.create(every=2, period=IntervalSchedule.HOURS)
    return PeriodicTask.objects.create(
        **{"name": name, "task": "scheduling.submit", "kwargs": json.dumps(JOB), **values}
    )


def imported(*arguments: str) -> list[dict[str, Any]]:
    written = io.StringIO()
    call_command("import_periodic_tasks", "--json", *arguments, stdout=written)
    return [json.loads(line) for line in written.getvalue().splitlines()]


def schedules() -> dict[str, Schedule]:
    with all_tenants():
        return {schedule.name: schedule for schedule in Schedule.objects.all()}


def test_tasks_become_schedules_of_their_tenant(acme: Tenant) -> None:
    berlin = CrontabSchedule.objects.create(
        minute="30", hour="2", day_of_week="mon-fri", timezone=ZoneInfo("Europe/Berlin")
    )
    later = datetime(2090, 1, 1, tzinfo=UTC)
    row = task(crontab=berlin, expires=later, description="Sales.")
    task("paced")
    task("single", clocked=ClockedSchedule.objects.create(clocked_time=later), one_off=True)
    task("fair", task=FAIR_TASK, kwargs="{}")
    assert {line["task"]: line["reason"] for line in imported("--tenant=acme")} == dict.fromkeys(
        ("nightly", "paced", "single", "fair"), ""
    )
    made = schedules()
    nightly = made["nightly"]
    assert (nightly.cron, nightly.timezone, nightly.ends_at) == ("30 2 * * MON-FRI", "Europe/Berlin", later)
    assert (nightly.kind, nightly.payload, nightly.priority, nightly.tags) == ("noop", {"report": "sales"}, 2, ["a"])
    assert (made["paced"].interval_seconds, made["single"].once_at, made["fair"].kind) == (7_200, later, "noop_task")
    row.refresh_from_db()
    assert (row.enabled, row.description) == (False, f"Sales. Moved to the schedule {nightly.pk}.")
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="schedule.imported", target_id=str(nightly.pk))
    assert entry.after["periodic_task"] == "nightly"
    assert imported("--tenant=acme") == []


def test_message_that_beat_sends_for_a_moved_task_submits_nothing(acme: Tenant, count_jobs: Callable[[], int]) -> None:
    task()
    imported()
    with pytest.raises(PeriodicTaskDisabledError):
        submit_beat_task(task_name="nightly", tenant=acme, request=JobRequest("noop"))
    assert count_jobs() == 0


def test_dry_run_changes_nothing(acme: Tenant) -> None:
    row = task()
    assert imported("--dry-run") == [{"task": "nightly", "tenant": "acme", "reason": "", "schedule": None}]
    row.refresh_from_db()
    assert row.enabled
    assert schedules() == {}


def test_tasks_that_cannot_move_stay_with_the_reason(acme: Tenant) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    both = CrontabSchedule.objects.create(day_of_month="13", day_of_week="5")
    often = IntervalSchedule.objects.create(every=5, period=IntervalSchedule.SECONDS)
    brief = IntervalSchedule.objects.create(every=5, period=IntervalSchedule.MICROSECONDS)
    task("both days", crontab=both)
    task("brief", interval=brief)
    task("celery", task="celery.chain", kwargs="{}")
    task("fair", task=FAIR_TASK, kwargs="{}")
    task("gone", kwargs='{"tenant": "acme", "kind": "nonsense"}')
    task("stray", kwargs='{"tenant": "unknown", "kind": "noop"}')
    task("nothing", kwargs="{}")
    task("often", interval=often)
    task("once", clocked=ClockedSchedule.objects.create(clocked_time=soon), one_off=True)
    task("sunset", solar=SolarSchedule.objects.create(event="sunset", latitude=1, longitude=1))
    task("timed", kwargs=json.dumps(JOB | {"deadline": "2090-01-01T00:00:00Z"}))
    task("upkeep", task="scheduling.run_upkeep", args='["partitions"]', kwargs="{}")
    reasons = {line["task"]: line["reason"] for line in imported()}
    wanted = {
        "both days": "day of month and day of week",
        "brief": "fractions of a second",
        "celery": "Decorate it with @fair_task",
        "fair": "--tenant",
        "gone": "no job kind",
        "stray": "no tenant",
        "nothing": "no tenant and kind",
        "often": "one run in 60 s",
        "once": "less than a minute",
        "sunset": "times of the sun",
        "timed": "no option deadline",
        "upkeep": "a task of the platform",
    }
    assert [name for name, part in wanted.items() if part not in reasons[name]] == [], reasons
    assert schedules() == {}
    assert not PeriodicTask.objects.filter(enabled=False).exists()


def test_task_whose_name_a_schedule_has_stays(acme: Tenant) -> None:
    task()
    imported()
    PeriodicTask.objects.update(enabled=True)
    (line,) = imported()
    assert "Another schedule has this name" in line["reason"]
