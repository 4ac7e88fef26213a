"""Postponed and suspended jobs: they wait for a time or until woken, and no wake-up is lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling.exceptions import InvalidTransitionError
from scheduling.execution import settlement_builders
from scheduling.execution.rescue import run_sweep
from scheduling.execution.settlement import settle
from scheduling.execution.start import StartedExecution
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.suspension import resume_job, suspend_job, wake_jobs
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.models import Execution, Job, JobDue, JobEvent, JobSuspended
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Start, Tick, begin, submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def started(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> StartedExecution:
    (job,) = submit(acme)
    tick()
    return begin(start, job)


def job_of(started: StartedExecution) -> Job:
    with all_tenants():
        return Job.objects.get(pk=started.job_id)


def wake(tenant: Tenant, job_id) -> set:
    with tenant_context(tenant):
        return wake_jobs(job_ids=[job_id])


def suspend(started: StartedExecution, seconds: float | None = None) -> Job:
    assert settle([settlement_builders.suspended(started.execution_id, started.fence, {"at": 1}, seconds=seconds)])
    return job_of(started)


def test_postponed_job_is_due_later_and_uses_no_attempt(started: StartedExecution, tick: Tick) -> None:
    assert settle([settlement_builders.put_off(started.execution_id, started.fence, {"at": 1}, seconds=60)])
    job = job_of(started)
    assert (job.state, job.attempt, job.crash_count, job.checkpoint) == ("scheduled", 0, 0, {"at": 1})
    with all_tenants():
        due = JobDue.objects.get(job_id=job.pk)
        assert timedelta(seconds=50) < due.due_at - timezone.now() < timedelta(seconds=61)
        assert Execution.objects.get(job_id=job.pk).outcome == Execution.Outcome.PUT_OFF
        explanation = why_waiting(job)
        JobDue.objects.update(due_at=timezone.now() - timedelta(minutes=1))
    assert explanation is not None
    assert explanation.reasons[0].until == due.due_at
    tick()
    assert job_of(started).state == JobState.DISPATCHED
    assert faults_of("ledger") == []


def test_explanation_names_the_sandbox_that_a_job_waits_for(started: StartedExecution) -> None:
    put_off = settlement_builders.put_off(
        started.execution_id, started.fence, {}, seconds=60, cause="sandbox_unavailable"
    )
    assert settle([put_off])
    job = job_of(started)
    with all_tenants():
        explanation = why_waiting(job)
    assert explanation is not None
    assert [reason.code for reason in explanation.reasons][:2] == ["sandbox_unavailable", "scheduled"]
    assert explanation.reasons[0].until is not None


def test_suspended_job_continues_when_woken(started: StartedExecution, acme: Tenant, tick: Tick) -> None:
    job = suspend(started)
    assert (job.state, job.attempt) == ("suspended", 0)
    tick()
    assert run_sweep().woken == 0
    with tenant_context(acme):
        assert [reason.code for reason in why_waiting(job).reasons] == ["awaits_answer"]
    assert wake(acme, job.pk) == {job.pk}
    assert job_of(started).state == "available"
    with all_tenants():
        assert not JobSuspended.objects.exists()
        assert JobEvent.objects.filter(job_id=job.pk, name="job.woken").count() == 1
    assert wake(acme, job.pk) == set()
    assert faults_of("ledger") == []


def test_wake_up_before_the_settlement_is_not_lost(started: StartedExecution, acme: Tenant) -> None:
    assert wake(acme, started.job_id) == set()
    job = suspend(started)
    assert (job.state, job.checkpoint) == ("available", {"at": 1})
    with all_tenants():
        assert not JobSuspended.objects.exists()


def test_wake_up_applies_only_to_the_execution_that_ran(
    started: StartedExecution, acme: Tenant, tick: Tick, start: Start
) -> None:
    wake(acme, started.job_id)
    assert settle([settlement_builders.yielded(started.execution_id, started.fence, {"at": 1})])
    tick()
    assert suspend(begin(start, job_of(started))).state == "suspended"


def test_suspended_job_is_woken_at_its_time_by_a_sweep(started: StartedExecution) -> None:
    job = suspend(started, seconds=60)
    assert run_sweep().woken == 0
    with all_tenants():
        JobSuspended.objects.update(wake_at=timezone.now())
    assert run_sweep().woken == 1
    assert job_of(started).state == "available"
    assert job.pk == started.job_id


def test_job_suspended_by_a_person_is_not_woken(acme: Tenant) -> None:
    (job,) = submit(acme)
    with tenant_context(acme):
        suspend_job(job_id=job.pk)
    assert wake(acme, job.pk) == set()
    assert run_sweep().woken == 0
    with all_tenants():
        assert Job.objects.get(pk=job.pk).state == "suspended"


def test_suspended_job_is_resumed_by_a_person_and_not_suspended_twice(started: StartedExecution, acme: Tenant) -> None:
    job = suspend(started)
    with tenant_context(acme):
        with pytest.raises(InvalidTransitionError):
            suspend_job(job_id=job.pk)
        assert resume_job(job_id=job.pk).state == "available"


def test_job_of_another_tenant_is_not_woken(started: StartedExecution, globex: Tenant) -> None:
    job = suspend(started)
    assert wake(globex, job.pk) == set()
    assert job_of(started).state == "suspended"


@pytest.mark.parametrize("way", ["put_off", "suspended"])
def test_cancelled_job_is_neither_suspended_nor_postponed(started: StartedExecution, acme: Tenant, way: str) -> None:
    with tenant_context(acme):
        cancel_job(job_id=started.job_id)
    assert settle([getattr(settlement_builders, way)(started.execution_id, started.fence, {}, seconds=60)])
    assert job_of(started).state == "cancelled"
    with all_tenants():
        assert not JobSuspended.objects.exists()
        assert not JobDue.objects.exists()


def test_suspended_job_is_cancelled_at_once(started: StartedExecution, acme: Tenant) -> None:
    job = suspend(started, seconds=60)
    with tenant_context(acme):
        assert cancel_job(job_id=job.pk).state == "cancelled"
    with all_tenants():
        assert not JobSuspended.objects.exists()
