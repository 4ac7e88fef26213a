"""Batch counters: they are checked against jobs and news, and repaired."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from scheduling.consistency.batches import BATCHES as CHECK
from scheduling.consistency.registry import CheckRange, ConsistencyFault, RepairOrder
from scheduling.jobs.batches.folding import fold_batches
from scheduling.jobs.batches.service import open_batch
from scheduling.jobs.requests import JobRequest
from scheduling.models import Batch, BatchNews, Job
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, fail


def look() -> set[str]:
    """Return the codes of the faults."""
    return {fault.code for fault in CHECK.look(CheckRange()).faults}


def repair() -> None:
    faults = CHECK.look(CheckRange()).faults
    assert CHECK.repair is not None
    with all_tenants():
        for fault in faults:
            CHECK.repair(RepairOrder(fault.code, fault.tenant_id, [fault], CheckRange()))


def execute(statement: str, **values: Any) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(statement, values)


@pytest.fixture
def batch(acme: Tenant, tick: Tick, start: Start) -> Batch:
    """Create a batch of an hour ago with one job completed, one dead, one waiting, and nothing folded."""
    made, _ = open_batch(tenant=acme, label="x", requests=[JobRequest(kind="noop")] * 3, closes=True)
    execute("UPDATE scheduling_batch SET created_at = now() - interval '1 hour', closed_at = now() - interval '1 hour'")
    tick()
    with all_tenants():
        first, second, third = Job.objects.order_by("id")
    complete(start, first)
    fail(start, second, is_permanent=True)
    assert third.state == "dispatched"
    return made


def counters(batch: Batch) -> tuple[int, int, int, str]:
    with all_tenants():
        found = Batch.objects.get(pk=batch.pk)
    return (found.completed, found.failed, found.cancelled, found.state)


def test_unfolded_news_is_no_fault(batch: Batch) -> None:
    assert look() == set()
    fold_batches()
    assert look() == set()
    assert counters(batch) == (1, 1, 0, "running")


@pytest.mark.parametrize("is_folded", [False, True])
def test_lost_news_is_found_and_recounted(batch: Batch, is_folded: bool) -> None:
    if is_folded:
        fold_batches()
        execute("UPDATE scheduling_batch SET completed = 0, cancelled = 1")
    else:
        execute("DELETE FROM scheduling_batch_news WHERE state = 'completed'")
    assert look() == {"batch_counter"}
    repair()
    assert look() == set()
    fold_batches()
    assert counters(batch) == (1, 1, 0, "running")


def test_batch_that_missed_its_end_is_ended(batch: Batch, start: Start) -> None:
    with all_tenants():
        last = Job.objects.get(state="dispatched")
    complete(start, last)
    fold_batches()
    assert counters(batch)[3] == "failed"
    execute("UPDATE scheduling_batch SET ended_at = NULL")
    assert look() == {"batch_unended"}
    repair()
    assert look() == set()
    fold_batches()
    assert counters(batch) == (2, 1, 0, "failed")


def test_pruned_jobs_stay_counted(batch: Batch) -> None:
    fold_batches()
    with all_tenants():
        done = Job.objects.get(state="completed")
    execute("DELETE FROM scheduling_job WHERE id = %(id)s", id=done.pk)
    execute("UPDATE scheduling_batch SET pruned = 1")
    assert look() == set()
    execute("UPDATE scheduling_batch SET completed = 0")
    assert look() == {"batch_counter"}
    repair()
    assert look() == set()
    assert counters(batch) == (1, 1, 0, "running")


def test_repair_changes_nothing_that_was_right(batch: Batch) -> None:
    fold_batches()
    with all_tenants():
        assert CHECK.repair is not None
        fault = ConsistencyFault("batch_counter", batch.tenant_id, str(batch.pk))
        CHECK.repair(RepairOrder(fault.code, fault.tenant_id, [fault], CheckRange()))
    assert counters(batch) == (1, 1, 0, "running")
    with all_tenants():
        assert BatchNews.objects.count() == 1
