"""Jobs of beat's periodic tasks: one for each due time at any number of beats."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from scheduling.celery import tasks as upkeep
from scheduling.celery.beat_tasks import find_fault
from scheduling.celery.tasks import submit
from scheduling.exceptions import KindUnknownError
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from scheduling.schedules.beat_submissions import PeriodicTaskDisabledError, submit_beat_task
from scheduling.topology.service import create_queue, create_worker_pool
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant

pytestmark = pytest.mark.django_db


def periodic_task(**values: Any) -> PeriodicTask:
    interval = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.DAYS)
    defaults = {"name": "nightly", "task": "scheduling.submit", "interval": interval}
    return PeriodicTask.objects.create(**(defaults | values))


def test_repeated_message_of_one_due_time_submits_once(acme: Tenant, count_jobs: Callable[[], int]) -> None:
    periodic_task()
    jobs = [submit_beat_task(task_name="nightly", tenant=acme, request=JobRequest("noop")) for _ in range(2)]
    assert jobs[0] == jobs[1]
    assert count_jobs() == 1
    with all_tenants():
        entries = AuditLogEntry.objects.filter(action="beat.submitted")
        assert [entry.after["job"] for entry in entries] == [str(jobs[0])]


def test_crontab_submits_a_due_time_once_however_late_the_second_beat_is(
    acme: Tenant, count_jobs: Callable[[], int]
) -> None:
    # A beat that restarts has the last run that was stored, up to three minutes before.
    PeriodicTask.objects.create(
        name="nightly", task="scheduling.submit", crontab=CrontabSchedule.objects.create(minute="0", hour="3")
    )
    due = datetime.now(UTC).replace(hour=3, minute=0, second=0, microsecond=0).timestamp()
    for asked_at in (due, due + 1, due + 170, due + 86_400):
        submit_beat_task(task_name="nightly", tenant=acme, request=JobRequest("noop"), asked_at=asked_at)
    assert count_jobs() == 2


def test_message_of_a_disabled_task_is_refused(acme: Tenant, count_jobs: Callable[[], int]) -> None:
    periodic_task(enabled=False)
    with pytest.raises(PeriodicTaskDisabledError):
        submit_beat_task(task_name="nightly", tenant=acme, request=JobRequest("noop"))
    # Beat disables a task that runs once after it has sent its message.
    PeriodicTask.objects.filter(name="nightly").update(one_off=True)
    submit_beat_task(task_name="nightly", tenant=acme, request=JobRequest("noop"))
    assert count_jobs() == 1


def test_other_tasks_and_messages_without_a_task_are_submitted(acme: Tenant, count_jobs: Callable[[], int]) -> None:
    first = periodic_task()
    PeriodicTask.objects.create(name="other", task="scheduling.submit", interval=first.interval)
    for name in ("nightly", "other", "", ""):
        submit_beat_task(task_name=name, tenant=acme, request=JobRequest("noop"))
    assert count_jobs() == 4


def test_refused_task_is_audited(acme: Tenant) -> None:
    task = periodic_task()
    with pytest.raises(KindUnknownError):
        submit_beat_task(task_name="nightly", tenant=acme, request=JobRequest("nonsense"))
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="beat.refused")
    assert (entry.target_id, entry.reason.split(":")[0]) == (str(task.pk), "kind_unknown")


def test_task_submits_what_its_beat_row_states(
    acme: Tenant, count_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker's child has its own connection; the test's holds the test's transaction.
    monkeypatch.setattr(upkeep, "check_connection", lambda: None)
    submit.apply(kwargs={"tenant": "acme", "kind": "noop", "priority": 2}, throw=True)
    assert count_jobs() == 1


def test_key_options_of_a_beat_row_reach_the_job(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "check_connection", lambda: None)
    keys = {"fair_key": "ann", "concurrency_key": "account-7", "unique_key": "nightly", "unique_until": "started"}
    submit.apply(kwargs={"tenant": "acme", "kind": "noop", **keys}, throw=True)
    with all_tenants():
        assert list(Job.objects.values(*keys)) == [keys]


def test_due_time_submits_nothing_while_a_job_has_the_unique_key(acme: Tenant, count_jobs: Callable[[], int]) -> None:
    periodic_task()
    request = JobRequest("noop", unique_key="nightly")
    holder = submit_job(tenant=acme, request=request).job
    now = time.time()
    assert submit_beat_task(task_name="nightly", tenant=acme, request=request, asked_at=now) == holder.pk
    assert count_jobs() == 1
    # The other beat's message, and one that is delivered again, come when the holder has ended.
    with tenant_context(acme):
        cancel_job(job_id=holder.pk, reason="a test")
    for asked_at in (now, now + 1):
        assert submit_beat_task(task_name="nightly", tenant=acme, request=request, asked_at=asked_at) == holder.pk
    assert count_jobs() == 1
    with all_tenants():
        assert not AuditLogEntry.objects.filter(action="beat.submitted").exists()
        assert AuditLogEntry.objects.get(action="beat.skipped").after["job"] == str(holder.pk)
    a_day_later = now + 24 * 3_600
    submit_beat_task(task_name="nightly", tenant=acme, request=request, asked_at=a_day_later)
    assert count_jobs() == 2


def test_task_is_submitted_again_when_its_interval_was_lengthened_after_a_skip(
    acme: Tenant, count_jobs: Callable[[], int]
) -> None:
    task = periodic_task()
    request = JobRequest("noop", unique_key="nightly")
    holder = submit_job(tenant=acme, request=request).job
    now = time.time()
    submit_beat_task(task_name="nightly", tenant=acme, request=request, asked_at=now)
    with tenant_context(acme):
        cancel_job(job_id=holder.pk, reason="a test")
    task.interval = IntervalSchedule.objects.create(every=2, period=IntervalSchedule.DAYS)
    task.save()
    submit_beat_task(task_name="nightly", tenant=acme, request=request, asked_at=now + 2 * 24 * 3_600)
    assert count_jobs() == 2


def test_own_tasks_of_the_platform_can_be_delivered() -> None:
    assert PeriodicTask.objects.filter(name__startswith="upkeep").count() > 5
    assert [find_fault(task) for task in PeriodicTask.objects.all() if find_fault(task)] == []


def test_task_cannot_be_sent_to_a_queue_of_an_io_pool() -> None:
    create_worker_pool(name="waiting", values={"resource_class": "io"})
    create_queue(name="calls", pool="waiting")
    fault = find_fault(periodic_task(queue="calls"))
    assert fault is not None
    assert (fault.field, "CPU pool" in fault.detail) == ("queue", True)
