"""Unique keys: while a job has one, a submission with the same key returns that job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from django.db import connection, transaction

from scheduling.exceptions import OptionInvalidError
from scheduling.fleet.workers import Registration
from scheduling.jobs.batches.service import open_batch
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.retries import retry_job
from scheduling.jobs.submission import submit_job, submit_jobs
from scheduling.jobs.suspension import suspend_job
from scheduling.models import Job, UniqueKey
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, fail, submit

pytestmark = pytest.mark.django_db


def request(**options: str) -> JobRequest:
    return JobRequest(kind="noop", **({"unique_key": "x"} | options))  # type: ignore[arg-type]


def test_repeat_returns_the_job_that_has_the_key(acme: Tenant) -> None:
    first = submit_job(tenant=acme, request=request())
    again = submit_job(tenant=acme, request=JobRequest(kind="noop", payload={"other": 1}, unique_key="x"))
    assert (first.created, again.created) == (True, False)
    assert again.job.pk == first.job.pk
    assert first.job.unique_until == "ended"


def test_keys_of_tenants_and_kinds_are_apart(acme: Tenant, globex: Tenant) -> None:
    submit_job(tenant=acme, request=request())
    assert submit_job(tenant=globex, request=request()).created
    other = JobRequest(kind="sleep", payload={"seconds": 0}, unique_key="x")
    assert submit_job(tenant=acme, request=other).created


def test_repeat_in_one_request_is_one_job(acme: Tenant) -> None:
    bulk = submit_jobs(tenant=acme, requests=[request(), request(), request(unique_key="y")])
    assert [done.created for _, done in bulk.accepted] == [True, False, True]
    assert bulk.accepted[0][1].job.pk == bulk.accepted[1][1].job.pk
    with all_tenants():
        assert Job.objects.count() == 2


def test_batch_counts_a_repeat_once(acme: Tenant) -> None:
    batch, bulk = open_batch(tenant=acme, label="", requests=[request(), request()], closes=True)
    assert batch.total == 1
    assert len(bulk.accepted) == 2


@pytest.mark.parametrize("until", ["started", "ended"])
def test_key_is_free_after_the_event(acme: Tenant, worker: Registration, tick: Tick, start: Start, until: str) -> None:
    first = submit(acme, 1, unique_key="x", unique_until=until)[0]
    tick()
    assert not submit_job(tenant=acme, request=request()).created
    begin(start, first)
    assert submit_job(tenant=acme, request=request()).created is (until == "started")


def test_key_is_free_after_the_end(acme: Tenant, worker: Registration, tick: Tick, start: Start) -> None:
    first = submit(acme, 1, unique_key="x")[0]
    tick()
    complete(start, first)
    assert submit_job(tenant=acme, request=request()).created


def test_waiting_retry_keeps_the_key(acme: Tenant, worker: Registration, tick: Tick, start: Start) -> None:
    first = submit(acme, 1, unique_key="x")[0]
    tick()
    fail(start, first)
    assert not submit_job(tenant=acme, request=request()).created


def test_dead_job_frees_the_key(acme: Tenant, worker: Registration, tick: Tick, start: Start) -> None:
    first = submit(acme, 1, unique_key="x")[0]
    tick()
    fail(start, first, is_permanent=True)
    assert submit_job(tenant=acme, request=request()).created


@pytest.mark.parametrize("until", ["started", "ended"])
def test_cancelled_job_frees_the_key(acme: Tenant, until: str) -> None:
    first = submit(acme, 1, unique_key="x", unique_until=until)[0]
    with tenant_context(acme):
        suspend_job(job_id=first.pk)
        assert not submit_job(tenant=acme, request=request()).created
        cancel_jobs(job_ids=[first.pk])
    assert submit_job(tenant=acme, request=request()).created


def test_unique_until_applies_to_the_concurrency_key_without_a_unique_key(acme: Tenant) -> None:
    first = submit_job(tenant=acme, request=request(unique_key="", concurrency_key="c", unique_until="started"))
    again = submit_job(tenant=acme, request=request(unique_key="", concurrency_key="c", unique_until="ended"))
    assert again.job.pk == first.job.pk
    # Without it, a concurrency key is not unique.
    assert submit_job(tenant=acme, request=request(unique_key="", concurrency_key="c")).created


@pytest.mark.parametrize(
    "options",
    [
        {"unique_key": "x" * 201},
        {"concurrency_key": "x" * 201},
        {"concurrency_key": "a\0"},
        {"unique_key": "a\0"},
        {"unique_key": "\ud800"},
        {"unique_until": "never"},
        {"unique_key": "", "unique_until": "ended"},
    ],
)
def test_invalid_keys_are_refused(acme: Tenant, options: dict[str, str]) -> None:
    with pytest.raises(OptionInvalidError):
        submit_job(tenant=acme, request=request(**options))


def test_replay_does_not_claim_the_key(acme: Tenant) -> None:
    first = submit(acme, 1, unique_key="x")[0]
    with tenant_context(acme):
        cancel_jobs(job_ids=[first.pk])
        newer = submit(acme, 1, unique_key="x")[0]
        again = retry_job(job_id=first.pk).job
    assert again.pk != newer.pk
    assert again.unique_key is None


def submit_elsewhere(tenant: Tenant) -> tuple[UUID, bool]:
    try:
        done = submit_job(tenant=tenant, request=request())
        return done.job.pk, done.created
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_concurrent_submissions_create_one_job(acme: Tenant) -> None:
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(submit_elsewhere, [acme] * 24))
    assert sum(created for _, created in results) == 1
    assert len({job_id for job_id, _ in results}) == 1
    with all_tenants():
        assert Job.objects.count() == UniqueKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_submission_waits_for_one_that_is_not_committed(acme: Tenant) -> None:
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            first = submit_job(tenant=acme, request=request())
            later = threads.submit(submit_elsewhere, acme)
        assert later.result(30) == (first.job.pk, False)


@pytest.mark.django_db(transaction=True)
def test_submission_that_is_rolled_back_leaves_the_key_free(acme: Tenant) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        submit_job(tenant=acme, request=request())
        raise ZeroDivisionError
    assert submit_job(tenant=acme, request=request()).created
