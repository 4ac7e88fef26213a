"""Retries by request: backoff ended early, ended jobs replayed, dead letters requeued once."""

from __future__ import annotations

import pytest

from scheduling.exceptions import InvalidTransitionError, JobNotFoundError
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_job, cancel_jobs
from scheduling.jobs.dead_letters.service import requeue_dead_letter
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.retries import retry_job, retry_jobs
from scheduling.models import DeadLetter, JobDue
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, fail, reload, submit

pytestmark = pytest.mark.django_db


def test_retry_makes_a_job_in_backoff_available(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme)
    tick()
    fail(start, job)
    assert reload(job).state == JobState.RETRYABLE
    with tenant_context(acme):
        result = retry_job(job_id=job.pk)
    assert (result.is_new, result.job.state, result.job.attempt) == (False, JobState.AVAILABLE, 1)
    with all_tenants():
        assert not JobDue.objects.exists()
    assert tick().dispatched == 1


def test_dead_letter_is_requeued_once_as_a_linked_job(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme, tags=["nightly"], priority=3)
    tick()
    fail(start, job, is_permanent=True)
    with tenant_context(acme):
        letter = DeadLetter.objects.get()
        again = requeue_dead_letter(dead_letter_id=letter.pk, reason="fixed")
        assert (again.parent_id, again.tags, again.priority, again.attempt) == (job.pk, ["nightly"], 3, 0)
        letter.refresh_from_db()
        assert letter.requeued_job_id == again.pk
        with pytest.raises(InvalidTransitionError, match=str(again.pk)):
            requeue_dead_letter(dead_letter_id=letter.pk)


def test_cancelled_job_is_replayed_as_a_new_one(acme: Tenant) -> None:
    (job,) = submit(acme)
    with tenant_context(acme):
        cancel_job(job_id=job.pk)
        result = retry_job(job_id=job.pk)
    assert (result.is_new, result.job.parent_id, result.job.state) == (True, job.pk, JobState.AVAILABLE)


@pytest.mark.parametrize("act", [cancel_job, retry_job])
def test_completed_job_cannot_be_cancelled_or_retried(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, act: object
) -> None:
    (job,) = submit(acme)
    tick()
    complete(start, job)
    with tenant_context(acme), pytest.raises(InvalidTransitionError):
        act(job_id=job.pk)  # type: ignore[operator]


@pytest.mark.parametrize("act", [cancel_job, retry_job])
def test_job_of_another_tenant_is_not_found(acme: Tenant, globex: Tenant, act: object) -> None:
    (job,) = submit(acme)
    with tenant_context(globex), pytest.raises(JobNotFoundError):
        act(job_id=job.pk)  # type: ignore[operator]
    assert reload(job).state == JobState.AVAILABLE


def test_cancellation_of_many_jobs_has_one_audit_entry(acme: Tenant, globex: Tenant) -> None:
    jobs, foreign = submit(acme, 5), submit(globex)
    with tenant_context(acme):
        assert cancel_jobs(job_ids=[job.pk for job in jobs + foreign], reason="typo") == {job.pk for job in jobs}
        assert AuditLogEntry.objects.filter(action="job.cancelled").count() == 1
    assert reload(foreign[0]).state == JobState.AVAILABLE


def test_bulk_retry_returns_the_result_of_each_job(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    backing_off, dead, waiting = submit(acme, 3)
    with tenant_context(acme):
        cancel_job(job_id=waiting.pk)
    tick()
    fail(start, backing_off)
    fail(start, dead, is_permanent=True)
    (fresh,) = submit(acme)
    with tenant_context(acme):
        bulk = retry_jobs(job_ids=[backing_off.pk, dead.pk, waiting.pk, fresh.pk])
    assert bulk.hastened == {backing_off.pk}
    assert set(bulk.replayed) == {dead.pk, waiting.pk}
    assert set(bulk.refused) == {fresh.pk}


def test_cancellation_is_rolled_back_with_its_audit_entry(acme: Tenant) -> None:
    (job,) = submit(acme)

    def cancel_and_fail() -> None:
        with tenant_context(acme):
            cancel_job(job_id=job.pk)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        cancel_and_fail()
    assert reload(job).state == JobState.AVAILABLE
    with tenant_context(acme):
        assert not AuditLogEntry.objects.filter(action="job.cancelled").exists()
