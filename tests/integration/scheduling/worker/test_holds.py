"""Holds: a child that received a list holds its executions, begins the first, and nobody else begins the others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from scheduling.dispatch.republish import republish_unstarted
from scheduling.execution.leases import heartbeat
from scheduling.execution.rescue import run_sweep
from scheduling.execution.start import StartedExecution, start_executions
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import Execution, Job, JobEvent, LiveExecution
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import age, reload, submit
from tests.integration.scheduling.worker.conftest import Merge, outcomes

pytestmark = pytest.mark.django_db(transaction=True)


def hold(
    local: LocalWorker, execution_ids: Sequence[UUID], token: UUID, hold_id: UUID | None = None
) -> list[StartedExecution]:
    return start_executions(
        execution_ids=execution_ids, token=token, worker_id=local.registration.worker_id, hold_id=hold_id
    )


def rows(jobs: Sequence[Job]) -> list[tuple[bool, bool, int]]:
    """Return for each job in flight whether it is held, whether it has begun, and its fence."""
    with all_tenants():
        live = {row.job_id: row for row in LiveExecution.objects.all()}
    return [
        (bool(live[j.pk].hold_id), live[j.pk].started_at is not None, live[j.pk].fence) for j in jobs if j.pk in live
    ]


def started_events() -> int:
    with all_tenants():
        return JobEvent.objects.filter(name="execution.started").count()


def test_list_is_held_and_only_its_first_execution_begins(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    jobs = submit(acme, 3, kind="scripted")
    execution_ids, token = enlist(jobs)
    members = hold(local, execution_ids, token)
    assert [(one.job_id, one.is_list, one.has_begun, one.fence) for one in members] == [
        (jobs[0].pk, True, True, 1),
        (jobs[1].pk, True, False, 0),
        (jobs[2].pk, True, False, 0),
    ]
    assert all(one.expected_us > 0 and one.wait_seconds is not None for one in members)
    assert rows(jobs) == [(True, True, 1), (True, False, 0), (True, False, 0)]
    assert [reload(job).state for job in jobs] == ["executing", "dispatched", "dispatched"]
    assert started_events() == 1
    with all_tenants():
        assert "message" not in JobEvent.objects.get(name="execution.started").data
    assert faults_of("executions") == []


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("is_list", [True, False])
def test_start_repeated_for_the_same_hold_changes_nothing(
    acme: Tenant, local: LocalWorker, merge: Merge, size: int, is_list: bool
) -> None:
    jobs = submit(acme, size, kind="scripted")
    execution_ids, token = merge(jobs)
    with all_tenants():
        LiveExecution.objects.update(is_list=is_list)
    hold_id = uuid4()
    first = hold(local, execution_ids, token, hold_id)
    before, events = rows(jobs), started_events()
    again = hold(local, execution_ids, token, hold_id)
    assert [(one.execution_id, one.fence, one.has_begun) for one in again] == [
        (one.execution_id, one.fence, one.has_begun) for one in first
    ]
    assert again[0].started_at == first[0].started_at
    assert again[0].wait_seconds == pytest.approx(first[0].wait_seconds, abs=1e-3)
    assert (rows(jobs), started_events()) == (before, events)
    # Another receipt of the message, even by the same worker, starts nothing.
    assert hold(local, execution_ids, token) == []


def test_list_without_its_first_execution_begins_the_second(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    jobs = submit(acme, 3, kind="scripted")
    execution_ids, token = enlist(jobs)
    with tenant_context(acme):
        cancel_jobs(job_ids=[jobs[0].pk])
    assert [one.has_begun for one in hold(local, execution_ids, token)] == [True, False]


def test_held_execution_that_contradicts_its_job_blocks_no_other(
    acme: Tenant, local: LocalWorker, enlist: Merge
) -> None:
    jobs = submit(acme, 3, kind="scripted")
    execution_ids, token = enlist(jobs)
    with all_tenants():
        Job.objects.filter(pk=jobs[1].pk).update(fence=7)
    assert [one.job_id for one in hold(local, execution_ids, token)] == [jobs[0].pk, jobs[2].pk]


def test_heartbeat_renews_held_executions(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    execution_ids, token = enlist(submit(acme, 2, kind="scripted"))
    hold(local, execution_ids, token)
    age(LiveExecution, lease_expires_at=60)
    beat = heartbeat(worker_id=local.registration.worker_id, is_stopping=False, execution_ids=execution_ids)
    assert set(beat.leases) == set(execution_ids)
    with all_tenants():
        least = min(LiveExecution.objects.values_list("lease_expires_at", flat=True))
    assert least is not None
    assert least > timezone.now() + timedelta(seconds=5)


def test_held_executions_are_not_published_again(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    execution_ids, token = enlist(submit(acme, 2, kind="scripted"))
    hold(local, execution_ids, token)
    assert republish_unstarted(is_epoch_new=True) == 0


def test_lost_worker_returns_held_executions_and_only_the_begun_one_is_blamed(
    acme: Tenant, local: LocalWorker, enlist: Merge
) -> None:
    jobs = submit(acme, 3, kind="scripted")
    execution_ids, token = enlist(jobs)
    hold(local, execution_ids, token)
    age(LiveExecution, lease_expires_at=60)
    assert run_sweep().rescued == 3
    after = [reload(job) for job in jobs]
    assert [outcomes(job) for job in jobs] == [["crashed"], ["returned"], ["returned"]]
    assert [(job.state, job.crash_count, job.attempt, job.merge_disabled) for job in after] == [
        ("available", 1, 0, False),
        ("available", 0, 0, False),
        ("available", 0, 0, False),
    ]
    with all_tenants():
        assert set(Execution.objects.filter(outcome="returned").values_list("measured_us", flat=True)) == {0}
    assert faults_of("ledger", "executions") == []


def test_cancelled_job_that_is_held_ends_at_once(acme: Tenant, local: LocalWorker, enlist: Merge) -> None:
    jobs = submit(acme, 2, kind="scripted")
    execution_ids, token = enlist(jobs)
    hold(local, execution_ids, token)
    with tenant_context(acme):
        cancel_jobs(job_ids=[jobs[1].pk])
    assert [reload(job).state for job in jobs] == ["executing", "cancelled"]
    assert faults_of("ledger") == []
