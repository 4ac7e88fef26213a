"""Rescue: lost hints, dead workers, a broker that refuses messages, deadlines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.utils import timezone

from scheduling.celery import publishing
from scheduling.celery.publishing import Hint
from scheduling.dispatch.republish import republish_unstarted
from scheduling.exceptions import FenceLostError
from scheduling.execution.rescue import run_sweep
from scheduling.execution.settlement import Settlement, settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.lifecycle import JobState
from scheduling.models import (
    Batch,
    DeadLetter,
    Execution,
    FairShareNode,
    JobDeadline,
    JobDue,
    LiveExecution,
    TenantCapacity,
    Worker,
)
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Start, Tick, age, begin, complete, in_flight, reload, submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def broker_takes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list with the number of hints that the broker accepts at the next publish; a test may change it."""
    room = [10**6]

    def publish(hints: Sequence[Hint]) -> Sequence[Hint]:
        return hints[room[0] :]

    monkeypatch.setattr(publishing, "publish", publish)
    return room


def test_expired_lease_returns_the_job_with_its_crash_counted(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    begin(start, job)
    age(LiveExecution, lease_expires_at=1)
    age(Worker, heartbeat_at=60)
    assert run_sweep().rescued == 1
    back = reload(job)
    assert (back.state, back.crash_count, back.attempt) == (JobState.AVAILABLE, 1, 0)
    assert faults_of("ledger") == []


def test_crash_of_a_whole_worker_counts_for_no_job(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    jobs = submit(acme, 2)
    tick()
    for job in jobs:
        begin(start, job)
    age(LiveExecution, lease_expires_at=1)
    assert run_sweep().rescued == 2
    assert [reload(job).crash_count for job in jobs] == [0, 0]


def test_live_lease_is_not_rescued(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme)
    tick()
    begin(start, job)
    assert run_sweep().rescued == 0
    assert reload(job).state == JobState.EXECUTING


def test_unstarted_hint_is_republished_under_a_new_token(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    with all_tenants():
        old = LiveExecution.objects.get()
    assert republish_unstarted() == 0  # too recent
    age(LiveExecution, published_at=16)
    assert republish_unstarted() == 1
    with all_tenants():
        assert LiveExecution.objects.get().token != old.token
    complete(start, job)
    assert faults_of("ledger") == []


def test_broker_that_came_back_empty_gets_every_unstarted_hint(acme: Tenant, tick: Tick, worker: Registration) -> None:
    submit(acme, 3)
    tick()
    assert republish_unstarted(is_epoch_new=True) == 3


def test_claims_are_undone_when_publishing_fails(
    acme: Tenant, tick: Tick, worker: Registration, broker_takes: list[int], start: Start
) -> None:
    jobs = submit(acme, 3)
    broker_takes[0] = 1
    result = tick()
    assert (result.dispatched, result.unpublished) == (1, 2)
    assert sorted(reload(job).state for job in jobs) == [JobState.AVAILABLE, JobState.AVAILABLE, JobState.DISPATCHED]
    assert faults_of("ledger") == []
    broker_takes[0] = 10
    assert tick().dispatched == 2
    with all_tenants():
        assert FairShareNode.objects.get().in_flight == TenantCapacity.objects.get().in_flight == 3


def test_waiting_job_past_its_deadline_becomes_a_dead_letter(acme: Tenant, tick: Tick) -> None:
    (job,) = submit(acme, deadline=timezone.now() + timedelta(hours=1))
    with all_tenants():
        JobDeadline.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
    assert run_sweep().expired == 1
    with all_tenants():
        assert DeadLetter.objects.get().reason == DeadLetter.Reason.DEADLINE_PASSED
        assert not JobDeadline.objects.exists()
    assert reload(job).state == JobState.DISCARDED


def test_scheduled_job_becomes_available_at_its_time(acme: Tenant, tick: Tick, worker: Registration) -> None:
    (job,) = submit(acme, run_at=timezone.now() + timedelta(hours=1))
    assert (tick().dispatched, job.state) == (0, JobState.SCHEDULED)
    with tenant_context(acme):
        JobDue.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert tick().dispatched == 1


def test_effects_of_a_settlement_with_a_lost_fence_are_rolled_back(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    started = begin(start, job)

    def effects() -> None:
        Batch.objects.create(label="effect", kind="noop", total=1)

    with pytest.raises(FenceLostError):
        settle([Settlement.completed(started.execution_id, started.fence - 1, None)], effects=effects)
    settle([Settlement.completed(started.execution_id, started.fence, None)], effects=effects)
    with pytest.raises(FenceLostError):
        settle([Settlement.completed(started.execution_id, started.fence, None)], effects=effects)
    with tenant_context(acme):
        assert Batch.objects.count() == 1


def test_crash_is_charged_up_to_the_last_heartbeat(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    begin(start, job)
    age(LiveExecution, lease_expires_at=1, started_at=30)
    run_sweep()
    with all_tenants():
        measured = Execution.objects.get().measured_us
    assert 25_000_000 < measured < 31_000_000
    assert not in_flight()
