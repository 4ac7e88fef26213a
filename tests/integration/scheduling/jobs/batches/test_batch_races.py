"""Batch races: a locked batch delays no other, and no job is added between the last count and the end."""

from __future__ import annotations

import threading

import pytest
from django.db import transaction

from scheduling.jobs.batches.cancelling import cancel_batch
from scheduling.jobs.batches.folding import fold_batches
from scheduling.jobs.batches.service import add_jobs, open_batch
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.requests import JobRequest
from scheduling.models import Batch, BatchNews, Job
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import beside

NOOP = JobRequest(kind="noop")
PATIENCE_SECONDS = 30


def ended(tenant: Tenant) -> Batch:
    """Return a closed batch whose jobs have ended and are not counted yet."""
    batch, _ = open_batch(tenant=tenant, label="x", requests=[NOOP], closes=True)
    with tenant_context(tenant):
        cancel_jobs(job_ids=list(Job.objects.filter(batch_id=batch.pk).values_list("pk", flat=True)))
    return batch


def test_locked_batch_is_skipped_and_others_are_counted(transactional_db: None, acme: Tenant) -> None:
    held, free = ended(acme), ended(acme)
    holding, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with tenant_context(acme):
            Batch.objects.select_for_update().get(pk=held.pk)
            holding.set()
            let_go.wait(PATIENCE_SECONDS)

    thread = beside(hold)
    try:
        assert holding.wait(PATIENCE_SECONDS)
        # Even if the locked one's news alone fills the page.
        assert fold_batches(limit=1) > 0
        with all_tenants():
            assert Batch.objects.get(pk=free.pk).ended_at is not None
            assert Batch.objects.get(pk=held.pk).ended_at is None
            assert BatchNews.objects.filter(batch_id=held.pk).exists()
    finally:
        let_go.set()
        thread.join()
    while fold_batches():
        pass
    with all_tenants():
        assert Batch.objects.get(pk=held.pk).state == "failed"


def test_concurrent_additions_to_one_batch_are_all_counted(transactional_db: None, acme: Tenant) -> None:
    batch, _ = open_batch(tenant=acme, label="x")
    threads = [beside(lambda: add(acme, batch)) for _ in range(4)]
    for thread in threads:
        thread.join()
    with all_tenants():
        assert Batch.objects.get(pk=batch.pk).total == Job.objects.filter(batch_id=batch.pk).count() == 12


def add(tenant: Tenant, batch: Batch) -> None:
    for _ in range(3):
        add_jobs(tenant=tenant, batch_id=batch.pk, requests=[NOOP])


def test_rolled_back_addition_is_not_in_the_batch(transactional_db: None, acme: Tenant) -> None:
    batch, _ = open_batch(tenant=acme, label="x")

    def add_and_fail() -> None:
        with transaction.atomic():
            add_jobs(tenant=acme, batch_id=batch.pk, requests=[NOOP])
            raise LookupError

    with pytest.raises(LookupError):
        add_and_fail()
    with all_tenants():
        assert Batch.objects.get(pk=batch.pk).total == 0


def test_job_added_before_the_lock_is_cancelled(transactional_db: None, acme: Tenant) -> None:
    batch, _ = open_batch(tenant=acme, label="x", requests=[NOOP])
    with tenant_context(acme):
        read_clock()  # the transaction of the cancellation is older than the added jobs
        beside(lambda: add(acme, batch)).join()
        cancel_batch(batch_id=batch.pk)
    with all_tenants():
        states = list(Job.objects.filter(batch_id=batch.pk).values_list("state", flat=True))
    assert states == ["cancelled"] * 4
