"""A job's life cycle on the real tables, without a worker process."""

from __future__ import annotations

from uuid import uuid4

import pytest

from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import start_execution
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.kit.retry import RetryPolicy
from scheduling.models import Charge, DeadLetter, Execution, FairShareNode, Job, JobEvent, LiveExecution
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, reload, submit


def test_job_is_dispatched_started_and_completed(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme)
    assert tick().dispatched == 1
    assert reload(job).state == JobState.DISPATCHED
    started = begin(start, job)
    assert (started.attempt, started.fence, reload(job).state) == (1, 1, JobState.EXECUTING)
    settle([Settlement.completed(started.execution_id, started.fence, {"answer": 42})])
    done = reload(job)
    assert (done.state, done.result, done.attempt) == (JobState.COMPLETED, {"answer": 42}, 0)
    with all_tenants():
        events = list(JobEvent.objects.filter(job=job).order_by("at", "id").values_list("name", flat=True))
        assert Execution.objects.get(job=job).outcome == Execution.Outcome.COMPLETED
        assert not LiveExecution.objects.exists()
    assert sorted(events) == sorted(["job.submitted", "job.dispatched", "execution.started", "execution.completed"])


def test_ledger_balances_after_completion(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    (settled,) = settle([Settlement.completed(started.execution_id, started.fence, None)])
    with all_tenants():
        assert sum(charge.microseconds for charge in Charge.objects.all()) == settled.measured_us


def test_counters_return_to_zero_after_the_next_tick(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    with all_tenants():
        entity = FairShareNode.objects.get()
        assert (entity.in_flight, entity.waiting) == (1, 0)
    started = begin(start, job)
    settle([Settlement.completed(started.execution_id, started.fence, None)])
    tick()
    with all_tenants():
        entity = FairShareNode.objects.get()
    assert (entity.in_flight, entity.waiting, entity.is_runnable) == (0, 0, False)


def test_tick_without_a_worker_dispatches_nothing(acme: Tenant, tick: Tick) -> None:
    (job,) = submit(acme)
    assert tick().dispatched == 0
    assert reload(job).state == JobState.AVAILABLE


def test_tick_fills_only_the_free_slots(acme: Tenant, tick: Tick, worker: Registration) -> None:
    submit(acme, 10)
    assert tick().dispatched == 4
    assert tick().dispatched == 0


def test_tenant_never_exceeds_its_cap(globex: Tenant, acme: Tenant, tick: Tick, worker: Registration) -> None:
    submit(globex, 10)
    assert tick().dispatched == 2
    submit(acme, 10)
    assert tick().dispatched == 2


def test_tenant_at_its_cap_continues_when_its_slot_is_free(
    globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    submit(globex, 3)
    tick()
    with all_tenants():
        job = Job.objects.in_flight().first()
    assert job is not None
    started = begin(start, job)
    settle([Settlement.completed(started.execution_id, started.fence, None)])
    assert tick().dispatched == 1


def test_repeated_message_starts_nothing(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme)
    tick()
    begin(start, job)
    assert start(job.pk) is None


def test_forged_token_starts_nothing(acme: Tenant, tick: Tick, worker: Registration) -> None:
    (job,) = submit(acme)
    tick()
    with all_tenants():
        live = LiveExecution.objects.get()
    assert start_execution(execution_id=live.id, token=uuid4(), worker_id=worker.worker_id) is None
    assert reload(job).state == JobState.DISPATCHED


def test_settlement_with_an_old_fence_changes_nothing(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    zombie = begin(start, job)
    settle(
        [
            settlement_builders.crashed(
                zombie.execution_id, zombie.fence, crash_count=0, was_alone=True, cause="lost", is_lost=True
            )
        ]
    )
    tick()
    begin(start, job)
    assert settle([Settlement.completed(zombie.execution_id, zombie.fence, None)]) == []
    assert reload(job).state == JobState.EXECUTING


@pytest.mark.parametrize(
    ("is_permanent", "max_retries", "state", "reason"),
    [
        (False, 3, JobState.RETRYABLE, None),  # attempts are left
        (False, 0, JobState.DISCARDED, DeadLetter.Reason.ATTEMPTS_EXHAUSTED),  # none are left
        (True, 3, JobState.DISCARDED, DeadLetter.Reason.PERMANENT_ERROR),  # a retry would not help
    ],
)
def test_failure_retries_or_ends_as_a_dead_letter(
    acme: Tenant,
    tick: Tick,
    worker: Registration,
    start: Start,
    is_permanent: bool,
    max_retries: int,
    state: JobState,
    reason: str | None,
) -> None:
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    failure = settlement_builders.Failure.of(ValueError("bad\0 value"), is_permanent=is_permanent)
    settle(
        [
            settlement_builders.failed(
                started.execution_id,
                started.fence,
                failure,
                failed_attempts=1,
                policy=RetryPolicy(max_retries=max_retries),
            )
        ]
    )
    ended = reload(job)
    assert (ended.state, ended.attempt, ended.error_type) == (state, 1, "ValueError")
    with all_tenants():
        assert list(DeadLetter.objects.values_list("reason", flat=True)) == ([reason] if reason else [])


def test_third_lone_crash_quarantines_the_job(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme)
    for crash_count in range(3):
        tick()
        started = begin(start, job)
        assert started.crash_count == crash_count
        settle(
            [
                settlement_builders.crashed(
                    started.execution_id,
                    started.fence,
                    crash_count=crash_count,
                    was_alone=True,
                    cause="killed",
                    is_lost=False,
                )
            ]
        )
    assert reload(job).state == JobState.QUARANTINED


def test_waiting_job_is_cancelled_at_once(acme: Tenant, tick: Tick, worker: Registration) -> None:
    (job,) = submit(acme)
    with tenant_context(acme):
        assert cancel_job(job_id=job.pk, reason="not needed").state == JobState.CANCELLED
    assert tick().dispatched == 0


def test_running_job_that_yields_after_a_cancel_is_cancelled(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    with tenant_context(acme):
        assert cancel_job(job_id=job.pk).state == JobState.EXECUTING
    settle([settlement_builders.yielded(started.execution_id, started.fence, {"at": 3})])
    assert reload(job).state == JobState.CANCELLED


def test_repeated_idempotency_key_returns_the_same_job(acme: Tenant) -> None:
    first = submit_job(tenant=acme, request=JobRequest("noop", idempotency_key="k"))
    again = submit_job(tenant=acme, request=JobRequest("noop", idempotency_key="k"))
    assert (first.created, again.created, again.job.pk) == (True, False, first.job.pk)
