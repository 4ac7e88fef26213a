"""Batches: each counts ended jobs, ends with the last, and submits its completion job once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.postgres.functions import TransactionNow
from django.db.models.functions import Now

from scheduling.bulk import starting
from scheduling.bulk import turns as bulk_running
from scheduling.exceptions import (
    BatchClosedError,
    BatchEndedError,
    BatchNotFoundError,
    KindUnknownError,
    PayloadInvalidError,
    TooManyBulkOperationsError,
)
from scheduling.jobs.batches import firing
from scheduling.jobs.batches.cancelling import cancel_batch, tend_cancellations
from scheduling.jobs.batches.completion import CompletionJob
from scheduling.jobs.batches.firing import fire_batches
from scheduling.jobs.batches.folding import fold_batches
from scheduling.jobs.batches.service import add_jobs, close_batch, open_batch
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.requests import JobRequest
from scheduling.models import Batch, BatchNews, BulkOperation, Job
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tenants.tenancy.service import reinstate_tenant, suspend_tenant
from tests.integration.scheduling.bulk.conftest import take_turns
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, fail
from tests.plain_values import plain_only

NOOP = JobRequest(kind="noop")
SUMMARY = CompletionJob(kind="noop", payload={"note": "done"}, summary_as="batch", tags=("after",))


def opened(tenant: Tenant, jobs: int = 2, **options: Any) -> Batch:
    return open_batch(tenant=tenant, label="nightly", requests=[NOOP] * jobs, **options)[0]


def reload(batch: Batch) -> Batch:
    with all_tenants():
        return Batch.objects.get(pk=batch.pk)


def jobs_of(batch: Batch) -> list[Job]:
    with all_tenants():
        return list(Job.objects.filter(batch_id=batch.pk).order_by("id"))


def counts(batch: Batch) -> tuple[str, int, int, int, int]:
    batch = reload(batch)
    return (batch.state, batch.total, batch.completed, batch.failed, batch.cancelled)


def fired(batch: Batch) -> list[Job]:
    with all_tenants():
        return list(Job.objects.filter(batch_id=None, tags=["after"]))


def test_ended_jobs_are_counted_and_the_last_ends_the_batch(acme: Tenant, tick: Tick, start: Start) -> None:
    batch = opened(acme, 3, closes=True, on_completion=SUMMARY)
    first, second, third = jobs_of(batch)
    tick()
    complete(start, first)
    assert fold_batches() == 2  # one has ended, and it was closed
    assert counts(batch) == ("running", 3, 1, 0, 0)
    fail(start, second, is_permanent=True)
    with tenant_context(acme):
        cancel_jobs(job_ids=[third.pk])
    tick()
    fold_batches()
    assert counts(batch) == ("failed", 3, 1, 1, 1)
    assert fire_batches() == 1
    (job,) = fired(batch)
    summary = job.payload.pop("batch")
    assert job.payload == {"note": "done"}
    assert (summary["id"], summary["state"], summary["total"], summary["failed"]) == (str(batch.pk), "failed", 3, 1)
    assert reload(batch).fired_job_id == job.pk
    fold_batches()
    assert fire_batches() == 0
    assert len(fired(batch)) == 1


def test_job_that_retries_has_not_ended(acme: Tenant, tick: Tick, start: Start) -> None:
    batch = opened(acme, 1, closes=True)
    tick()
    fail(start, jobs_of(batch)[0])
    fold_batches()
    assert counts(batch) == ("running", 1, 0, 0, 0)


def test_open_batch_accepts_jobs_and_ends_only_once_closed(acme: Tenant, tick: Tick, start: Start) -> None:
    batch = opened(acme, 1)
    tick()
    complete(start, jobs_of(batch)[0])
    fold_batches()
    assert counts(batch) == ("open", 1, 1, 0, 0)
    bulk = add_jobs(tenant=acme, batch_id=batch.pk, requests=[NOOP, JobRequest(kind="nope")])
    assert len(bulk.accepted) == 1
    assert isinstance(bulk.rejected[0][1], KindUnknownError)
    with tenant_context(acme):
        assert close_batch(batch_id=batch.pk).state == "running"
        close_batch(batch_id=batch.pk)
    with pytest.raises(BatchClosedError):
        add_jobs(tenant=acme, batch_id=batch.pk, requests=[NOOP])
    tick()
    complete(start, jobs_of(batch)[1])
    fold_batches()
    assert counts(batch) == ("completed", 2, 2, 0, 0)


def test_close_ends_a_batch_without_unfinished_jobs(acme: Tenant, tick: Tick, start: Start) -> None:
    batch, empty = opened(acme, 1), opened(acme, 0, on_completion=SUMMARY)
    tick()
    complete(start, jobs_of(batch)[0])
    fold_batches()
    with tenant_context(acme):
        close_batch(batch_id=batch.pk)
        close_batch(batch_id=empty.pk)
    fold_batches()
    assert counts(batch)[0] == counts(empty)[0] == "completed"
    assert fire_batches() == 1


def test_repeated_idempotency_key_adds_no_job(acme: Tenant) -> None:
    batch = opened(acme, 0)
    keyed = JobRequest(kind="noop", idempotency_key="one")
    for _ in range(2):
        add_jobs(tenant=acme, batch_id=batch.pk, requests=[keyed])
    assert counts(batch)[1] == len(jobs_of(batch)) == 1


def test_batch_with_a_refused_first_job_is_not_created(acme: Tenant) -> None:
    with pytest.raises(KindUnknownError):
        open_batch(tenant=acme, label="x", requests=[NOOP, JobRequest(kind="nope")])
    with pytest.raises(PayloadInvalidError):
        opened(acme, on_completion=CompletionJob(kind="sleep", payload={"seconds": "x"}))
    with pytest.raises(PayloadInvalidError):
        opened(acme, on_completion=CompletionJob(kind="sleep", payload={"seconds": 1}, summary_as="seconds"))
    with tenant_context(acme):
        assert not Batch.objects.exists()
        assert not Job.objects.exists()


def test_batch_of_another_tenant_is_not_found(acme: Tenant, globex: Tenant) -> None:
    batch = opened(acme)
    with pytest.raises(BatchNotFoundError):
        add_jobs(tenant=globex, batch_id=batch.pk, requests=[NOOP])
    with tenant_context(globex), pytest.raises(BatchNotFoundError):
        close_batch(batch_id=batch.pk)


def test_completion_job_that_needs_success_is_not_submitted_after_a_failure(
    acme: Tenant, tick: Tick, start: Start
) -> None:
    only = CompletionJob(kind="noop", tags=("after",), only_if_completed=True)
    good, bad = (opened(acme, 1, closes=True, on_completion=only) for _ in range(2))
    tick()
    complete(start, jobs_of(good)[0])
    fail(start, jobs_of(bad)[0], is_permanent=True)
    fold_batches()
    assert fire_batches() == 1
    assert reload(good).fired_job_id is not None
    assert (reload(bad).fired_job_id, reload(bad).fire_at) == (None, None)


class PlantedCrash(BaseException):
    """An exception in place of the process's death."""


@pytest.mark.parametrize("step", ["after the job was submitted", "before it"])
def test_completion_after_a_dispatcher_crash_is_submitted_once(
    acme: Tenant, tick: Tick, start: Start, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    batch = opened(acme, 1, closes=True, on_completion=SUMMARY)
    tick()
    complete(start, jobs_of(batch)[0])
    fold_batches()
    real = firing.submit_job

    def dying(**options: Any) -> Any:
        if step.startswith("after"):
            real(**options)
        raise PlantedCrash

    with monkeypatch.context() as patch:
        patch.setattr(firing, "submit_job", dying)
        with pytest.raises(PlantedCrash):
            fire_batches()
    assert fired(batch) == []
    assert reload(batch).fired_job_id is None
    assert fire_batches() == 1
    assert fire_batches() == 0
    assert [job.pk for job in fired(batch)] == [reload(batch).fired_job_id]


def test_dispatcher_crash_while_counting_counts_nothing(
    acme: Tenant, tick: Tick, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = opened(acme, 1, closes=True)
    with all_tenants():
        Batch.objects.filter(pk=batch.pk).update(waiting_job_id=jobs_of(batch)[0].pk)
    tick()
    complete(start, jobs_of(batch)[0])

    def dying(job_ids: object) -> None:
        raise PlantedCrash

    with monkeypatch.context() as patch:
        patch.setattr("scheduling.jobs.batches.folding.resume_parents", dying)
        with pytest.raises(PlantedCrash):
            fold_batches()
    assert counts(batch) == ("running", 1, 0, 0, 0)
    fold_batches()
    assert counts(batch) == ("completed", 1, 1, 0, 0)


def test_temporarily_refused_completion_job_is_retried(acme: Tenant) -> None:
    batch = opened(acme, 0, closes=True, on_completion=SUMMARY)
    fold_batches()
    suspend_tenant(tenant=acme, reason="unpaid")
    assert fire_batches() == 0
    assert "suspended" in reload(batch).fire_error.lower()
    assert reload(batch).fire_at is not None
    reinstate_tenant(tenant=acme)
    assert fire_batches() == 0  # not before its time
    with all_tenants():
        Batch.objects.filter(pk=batch.pk).update(fire_at=TransactionNow())
    assert fire_batches() == 1
    assert reload(batch).fire_error == ""


@plain_only
def test_permanently_refused_completion_job_stores_the_error_once(acme: Tenant) -> None:
    batch = opened(acme, 0, closes=True, on_completion=SUMMARY)
    with all_tenants():
        Batch.objects.filter(pk=batch.pk).update(on_completion={"kind": "gone"})
    fold_batches()
    assert fire_batches() == 0
    assert "gone" in reload(batch).fire_error
    assert reload(batch).fire_at is None


def test_cancelled_batch_cancels_its_jobs_and_then_ends(
    acme: Tenant, tick: Tick, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_running, "CHUNK_ROWS", 2)
    batch = opened(acme, 6, on_completion=SUMMARY)
    tick()
    running = next(job for job in jobs_of(batch) if job.state == "dispatched")
    started = begin(start, running)
    with tenant_context(acme):
        assert cancel_batch(batch_id=batch.pk, reason="a mistake").state == "cancelling"
        cancel_batch(batch_id=batch.pk)  # a repetition changes nothing
    with pytest.raises(BatchClosedError):
        add_jobs(tenant=acme, batch_id=batch.pk, requests=[NOOP])
    with all_tenants():
        assert BulkOperation.objects.get().changed == 2
        assert AuditLogEntry.objects.filter(action="batch.cancelled").count() == 1
        assert not AuditLogEntry.objects.filter(action__startswith="bulk_operation.").exists()
    take_turns()
    assert tend_cancellations() == 0
    fold_batches()
    assert counts(batch) == ("cancelling", 6, 0, 0, 5)
    from scheduling.execution import settlement_builders
    from scheduling.execution.settlement import settle

    settle([settlement_builders.cancelled(started.execution_id, started.fence)])
    fold_batches()
    assert counts(batch) == ("cancelled", 6, 0, 0, 6)
    assert fire_batches() == 1
    with tenant_context(acme), pytest.raises(BatchEndedError):
        cancel_batch(batch_id=batch.pk)


def test_cancelled_batch_survives_failed_operation(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_running, "CHUNK_ROWS", 2)
    batch = opened(acme, 5)
    with tenant_context(acme):
        cancel_batch(batch_id=batch.pk)
    with all_tenants():
        BulkOperation.objects.update(state="failed", finished_at=Now())
    assert tend_cancellations() == 0
    with all_tenants():
        BulkOperation.objects.update(finished_at=Now() - timedelta(seconds=61))
    assert tend_cancellations() == 1
    assert tend_cancellations() == 0
    take_turns()
    assert {job.state for job in jobs_of(batch)} == {"cancelled"}
    with all_tenants():
        assert BulkOperation.objects.latest("id").actor_id == "batch"


def test_batch_cancel_ignores_limit_of_open_operations(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_running, "CHUNK_ROWS", 2)
    monkeypatch.setattr(starting, "MAX_OPEN", 1)
    first, second = opened(acme, 3), opened(acme, 3)
    with tenant_context(acme):
        cancel_batch(batch_id=first.pk)
        start = {"filter_text": "kind:noop", "operation": "cancel", "parameters": {}, "reason": "x"}
        starting.start_bulk_operation(**start)
        with pytest.raises(TooManyBulkOperationsError):
            starting.start_bulk_operation(**start)
        cancel_batch(batch_id=second.pk)
    with all_tenants():
        assert BulkOperation.objects.filter(finished_at__isnull=True).count() == 3


def test_news_are_folded_in_turns(acme: Tenant) -> None:
    batch = opened(acme, 4, closes=True)
    with tenant_context(acme):
        cancel_jobs(job_ids=[job.pk for job in jobs_of(batch)])
    while fold_batches(limit=2):
        pass
    assert counts(batch) == ("failed", 4, 0, 0, 4)
    with all_tenants():
        assert not BatchNews.objects.exists()
