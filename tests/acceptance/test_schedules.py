"""Schedules with real processes: the dispatcher fires, and beat submits an operator's periodic task."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from scheduling.models import Job, Schedule, ScheduleFire
from scheduling.schedules.definitions import create_schedule, delete_schedule
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.models import AuditLogEntry, Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import wait_for
from tests.acceptance.processes import eventually


@pytest.fixture
def minutely(acme: Tenant) -> Iterator[Schedule]:
    """Create a schedule that is deleted after its test, so that its jobs do not disturb later tests."""
    schedule = create_schedule(tenant=acme, values={"name": "minutely", "kind": "noop", "cron": "* * * * *"})
    yield schedule
    with tenant_context(acme):
        delete_schedule(schedule_id=schedule.pk)


@pytest.fixture
def beat_row(acme: Tenant) -> Iterator[PeriodicTask]:
    """Create an operator's periodic task, which is deleted after its test."""
    row = PeriodicTask.objects.create(
        name=f"for {acme.slug}",
        task="scheduling.submit",
        interval=IntervalSchedule.objects.create(every=30, period=IntervalSchedule.SECONDS),
        kwargs=f'{{"tenant": "{acme.slug}", "kind": "noop", "tags": ["by-beat"]}}',
    )
    PeriodicTasks.update_changed()
    yield row
    row.delete()


def test_job_of_due_schedule_completes(platform: Platform, minutely: Schedule) -> None:
    second = platform.start("dispatch_jobs")
    with all_tenants():
        minute = read_clock().replace(second=0, microsecond=0)
        Schedule.objects.filter(pk=minutely.pk).update(next_fire_at=minute - timedelta(minutes=2))

    def fire() -> ScheduleFire | None:
        with all_tenants():
            fires = ScheduleFire.objects.filter(schedule=minutely, job__isnull=False)
            return fires.select_related("job").order_by("fire_time").first()

    found = eventually(fire, what="the schedule has fired")
    assert found is not None
    assert found.job is not None
    wait_for(found.job, "completed")
    with all_tenants():
        times = list(ScheduleFire.objects.filter(schedule=minutely).values_list("fire_time", flat=True))
    assert len(times) == len(set(times)) >= 2
    assert second.is_running


def test_beat_submits_job_of_periodic_task_once(platform: Platform, acme: Tenant, beat_row: PeriodicTask) -> None:
    platform.start("run_worker", "--pool=maintenance", "--slots=1")
    for _ in range(2):
        platform.start_beat()

    def job() -> Job | None:
        with all_tenants():
            return Job.objects.filter(tenant=acme, idempotency_key__startswith=f"beat:{beat_row.pk}:").first()

    submitted = eventually(job, within=150.0, what="beat has submitted")
    assert submitted is not None
    assert submitted.tags == ["by-beat"]
    wait_for(submitted, "completed")
    with all_tenants():
        entry = AuditLogEntry.objects.filter(action="beat.submitted", target_id=str(beat_row.pk)).earliest("id")
    assert entry.after["job"] == str(submitted.pk)
