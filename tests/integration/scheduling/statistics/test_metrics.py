"""Prometheus metrics of events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from prometheus_client import generate_latest

from scheduling.dispatch.duties import Duty, DutyRoster
from scheduling.jobs.suspension import suspend_job
from scheduling.observability.metrics import scrape_registry
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, submit

type Capture = Callable[..., AbstractContextManager[list[Callable[[], None]]]]


def scrape() -> dict[str, float]:
    """Return each sample by its name with labels, as in the text that Prometheus reads."""
    lines = generate_latest(scrape_registry()).decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


def test_submissions_are_counted_once_committed(acme: Tenant, django_capture_on_commit_callbacks: Capture) -> None:
    before = scrape().get('jobsplatform_jobs_submitted_total{kind="noop",queue="tasks_team",tier="team"}', 0)
    with django_capture_on_commit_callbacks(execute=True):
        submit(acme, 3)
    assert scrape()['jobsplatform_jobs_submitted_total{kind="noop",queue="tasks_team",tier="team"}'] == before + 3


def test_starts_and_ends_are_counted_by_queue_and_tier(
    acme: Tenant, start: Start, tick: Tick, django_capture_on_commit_callbacks: Capture
) -> None:
    (job,) = submit(acme)
    route = 'queue="tasks_team",tier="team"'
    names = [
        f'jobsplatform_executions_started_total{{kind="noop",{route}}}',
        f'jobsplatform_executions_ended_total{{kind="noop",outcome="completed",{route}}}',
        f"jobsplatform_job_wait_seconds_count{{{route}}}",
        f"jobsplatform_execution_run_seconds_count{{{route}}}",
        'jobsplatform_execution_pickup_seconds_count{queue="tasks_team"}',
    ]
    before = scrape()
    tick()
    with django_capture_on_commit_callbacks(execute=True):
        complete(start, job)
    after = scrape()
    assert [after[name] - before.get(name, 0) for name in names] == [1] * len(names)


def test_suspension_by_a_person_is_counted(acme: Tenant, django_capture_on_commit_callbacks: Capture) -> None:
    (job,) = submit(acme)
    name = 'jobsplatform_waiting_jobs_moved_total{event="job.suspended"}'
    before = scrape().get(name, 0)
    with django_capture_on_commit_callbacks(execute=True), tenant_context(acme):
        suspend_job(job_id=job.pk)
    assert scrape()[name] == before + 1


def test_duties_are_timed_and_their_failures_counted() -> None:
    def fail() -> None:
        raise ValueError

    before = scrape().get('jobsplatform_duty_failures_total{duty="moot"}', 0)
    DutyRoster([Duty("moot", lambda: 60.0, fail)]).run_due()
    after = scrape()
    assert after['jobsplatform_duty_failures_total{duty="moot"}'] == before + 1
    assert after['jobsplatform_duty_seconds_count{duty="moot"}'] >= 1
