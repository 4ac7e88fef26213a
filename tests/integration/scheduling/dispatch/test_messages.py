"""Merged messages of small jobs, on the real tables: picked together, counted once, undone whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from uuid import UUID

import pytest

from scheduling.celery import publishing
from scheduling.celery.publishing import Hint
from scheduling.conf import MAX_MESSAGE_JOBS, MESSAGE_WORK_US
from scheduling.dispatch.collect import fold_wakes
from scheduling.dispatch.read import read_pool
from scheduling.dispatch.republish import republish_unstarted
from scheduling.execution import settlement_builders
from scheduling.execution.rescue import run_sweep
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import StartedExecution, start_executions
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.kit import registry
from scheduling.models import (
    Execution,
    FairShareNode,
    Job,
    LiveExecution,
    Queue,
    QueueClock,
    TenantCapacity,
    TenantGauge,
    Worker,
    WorkerPool,
)
from scheduling.statistics.gauges import sample_gauges
from scheduling.stops.pauses import pause_kind, resume_kind
from scheduling.topology.service import create_worker_pool
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Tick, age, reload, submit
from tests.predictions import predict
from workloads.diagnostics.processor import NoopProcessor

pytestmark = pytest.mark.django_db

# So many jobs of half a millisecond fill a message; a few more need another one.
FULL = MESSAGE_WORK_US // 500
FEW = FULL // 4


@pytest.fixture(autouse=True)
def small(db: None) -> None:
    """Predict half a millisecond for no-op jobs."""
    predict("noop", 500)


@pytest.fixture(autouse=True)
def exact(db: None) -> Iterator[None]:
    """Assert after each test that ledger and counters are exact."""
    yield
    assert faults_of("ledger") == []
    assert faults_of("counters", "ready") == []


@pytest.fixture
def tenants(acme: Tenant, globex: Tenant) -> list[Tenant]:
    """Create five tenants of one plan, and so of one queue."""
    return [acme, *(create_tenant(slug=f"team-{number}", plan="team") for number in range(4))]


def messages() -> list[list[LiveExecution]]:
    """Return what is in flight, by message."""
    found: dict[UUID, list[LiveExecution]] = defaultdict(list)
    with all_tenants():
        for live in LiveExecution.objects.order_by("id"):
            found[live.message_id].append(live)
    return list(found.values())


def start_all(members: Sequence[LiveExecution], worker: Registration) -> list[StartedExecution]:
    ids = [member.id for member in members]
    return start_executions(execution_ids=ids, token=members[0].token, worker_id=worker.worker_id)


def complete_all(started: Sequence[StartedExecution]) -> None:
    assert len(settle([Settlement.completed(one.execution_id, one.fence, None) for one in started])) == len(started)


def in_flight_of(tenant: Tenant) -> int:
    with all_tenants():
        return TenantCapacity.objects.get(tenant=tenant).in_flight


def warm_up(tick: Tick) -> None:
    """Tick until nothing more is dispatched: the first tick has no estimates."""
    while tick().has_more:
        pass


def test_small_jobs_of_many_tenants_share_a_message_and_a_slot(
    tenants: list[Tenant], tick: Tick, worker: Registration
) -> None:
    dispatch(tenants, 4, tick)
    (members,) = messages()
    assert len(members) == 20
    # The other slots stay free, and each tenant has one message in flight.
    assert sum(row.slots_milli for row in gauges_now()) == pytest.approx(1_000, abs=5)
    assert {in_flight_of(tenant) for tenant in tenants} == {1}


def test_small_jobs_of_new_tenants_share_a_message_at_once(
    tenants: list[Tenant], tick: Tick, worker: Registration
) -> None:
    """Merge although the stored estimate of a tenant's next job is a guess."""
    with all_tenants():
        Worker.objects.update(slots=1)
    for tenant in tenants:
        submit(tenant)
    tick()
    (members,) = messages()
    assert {member.tenant_id for member in members} == {tenant.pk for tenant in tenants}


def test_tick_that_meets_small_jobs_is_followed_by_one_that_merges(
    acme: Tenant, tick: Tick, worker: Registration
) -> None:
    submit(acme, 40)
    assert tick().has_more
    warm_up(tick)
    assert sum(len(message) for message in messages()) == 40


def gauges_now() -> list[TenantGauge]:
    sample_gauges()
    with all_tenants():
        return list(TenantGauge.objects.all())


def know_estimates() -> None:
    """Store the estimates that a tick stores once it has read the jobs."""
    with all_tenants():
        FairShareNode.objects.update(estimate_us=500)


def dispatch(tenants: Sequence[Tenant], count: int, tick: Tick) -> list[Job]:
    """Submit so many no-op jobs of each tenant and dispatch them in as few messages as possible."""
    jobs = [job for tenant in tenants for job in submit(tenant, count)]
    know_estimates()
    assert tick().dispatched == len(jobs)
    return jobs


def test_message_is_limited_by_its_predicted_time(acme: Tenant, tick: Tick, worker: Registration) -> None:
    dispatch([acme], 2 * FULL + FEW, tick)
    assert sorted(len(message) for message in messages()) == [FEW, FULL, FULL]
    assert in_flight_of(acme) == 3
    with all_tenants():
        entity = FairShareNode.objects.get(tenant=acme)
    assert (entity.in_flight, entity.waiting) == (3, 0)


def test_message_is_limited_by_its_number_of_jobs(acme: Tenant, tick: Tick, worker: Registration) -> None:
    submit(acme, MAX_MESSAGE_JOBS)
    submit(acme, 50)
    predict("noop", 10)
    while tick().dispatched:
        pass
    assert sorted(len(message) for message in messages()) == [50, MAX_MESSAGE_JOBS]


def test_tenant_cap_counts_messages(globex: Tenant, tick: Tick, worker: Registration) -> None:
    submit(globex, 2 * FULL + FEW)  # its plan allows two in flight
    know_estimates()
    assert tick().dispatched == 2 * FULL
    assert in_flight_of(globex) == 2
    assert tick().dispatched == 0


def test_slots_and_queue_cap_count_messages(
    tenants: list[Tenant], pool: WorkerPool, tick: Tick, worker: Registration
) -> None:
    dispatch(tenants, FEW, tick)  # five times, in two messages of four slots
    with all_tenants():
        reading = read_pool(pool.pk)
        assert (reading.slots, reading.in_flight, reading.share.room) == (4, 2, 2)
        Queue.objects.filter(name="tasks_team").update(cap=2)
    submit(tenants[0], 5)
    assert tick().dispatched == 0
    with all_tenants():
        Queue.objects.filter(name="tasks_team").update(cap=3)
    assert tick().dispatched == 5


def test_messages_count_towards_the_cap_of_a_queue_that_has_moved(
    tenants: list[Tenant], pool: WorkerPool, tick: Tick, worker: Registration
) -> None:
    dispatch(tenants, FEW, tick)
    ending, waiting = messages()
    other = create_worker_pool(name="other", values={})
    with all_tenants():
        LiveExecution.objects.update(worker_id=worker.worker_id)
        LiveExecution.objects.filter(message_id=waiting[0].message_id).update(pool=other)
        # In its pool, the queue has the messages of both pools.
        (queue,) = [queue for queue in read_pool(pool.pk).share.queues if queue.queue_id == ending[0].queue_id]
        assert queue.in_flight == 2
        for cap, used in ((2, 1), (3, 0)):
            Queue.objects.filter(pk=ending[0].queue_id).update(cap=cap, pool=other)
            assert read_pool(pool.pk, ending=[ending[0].token]).in_flight == used


def test_jobs_that_are_not_small_travel_alone(acme: Tenant, tick: Tick, worker: Registration) -> None:
    predict("noop", 20_000)
    submit(acme, 3)
    tick()
    assert [len(message) for message in messages()] == [1, 1, 1]


def test_kind_that_opts_out_travels_alone(
    acme: Tenant, tick: Tick, worker: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NoopProcessor, "is_mergeable", False)
    registry.reset()
    submit(acme, 3)
    know_estimates()
    tick()
    assert [len(message) for message in messages()] == [1, 1, 1]
    monkeypatch.undo()
    registry.reset()


def test_slot_is_free_once_its_messages_last_job_has_ended(
    tenants: list[Tenant], tick: Tick, worker: Registration
) -> None:
    dispatch(tenants[:2], 2, tick)
    (members,) = messages()
    started = start_all(members, worker)
    assert [one.execution_id for one in started] == [member.id for member in members]
    complete_all(started[:1])
    tick()
    assert [in_flight_of(tenant) for tenant in tenants[:2]] == [1, 1]
    own = [one for one in started[1:] if one.tenant_id == started[0].tenant_id]
    complete_all(own)
    tick()
    # Its part of the message has ended; the other's has not.
    assert sorted(in_flight_of(tenant) for tenant in tenants[:2]) == [0, 1]
    complete_all([one for one in started[1:] if one not in own])
    tick()
    assert [in_flight_of(tenant) for tenant in tenants[:2]] == [0, 0]
    with all_tenants():
        assert set(FairShareNode.objects.values_list("in_flight", "waiting")) == {(0, 0)}


def test_message_that_names_an_execution_twice_starts_it_once(acme: Tenant, tick: Tick, worker: Registration) -> None:
    dispatch([acme], 3, tick)
    (members,) = messages()
    ids = [member.id for member in members]
    started = start_executions(execution_ids=[*ids, *ids], token=members[0].token, worker_id=worker.worker_id)
    assert [one.execution_id for one in started] == ids


def test_small_jobs_fill_a_message_with_few_rows_read(
    acme: Tenant, globex: Tenant, pool: WorkerPool, worker: Registration
) -> None:
    submit(acme, 60)
    submit(globex, 60)
    with all_tenants():
        Worker.objects.update(slots=1)
        fold_wakes(pool.pk)
        FairShareNode.objects.update(estimate_us=4_000)
        reading = read_pool(pool.pk)
    # So many jobs of 4 ms fill a message; one more shows that it is full.
    assert reading.share.limit == MESSAGE_WORK_US // 4_000 + 1


@pytest.fixture
def two_queues(tenants: list[Tenant]) -> list[Tenant]:
    """Create five tenants of one queue and five of another, with four small jobs each; the first queue is next."""
    others = [create_tenant(slug=f"sandbox-{number}", plan="sandbox") for number in range(5)]
    for tenant in [*tenants, *others]:
        submit(tenant, 4)
    know_estimates()
    with all_tenants():
        QueueClock.objects.filter(queue__name="tasks_sandbox").update(vruntime=10**12, was_backlogged=True)
        QueueClock.objects.filter(queue__name="tasks_team").update(vruntime=0, was_backlogged=True)
    return [*tenants, *others]


def test_queue_that_is_not_next_is_read_up_to_the_slots(
    two_queues: list[Tenant], pool: WorkerPool, worker: Registration
) -> None:
    with all_tenants():
        Worker.objects.update(slots=1)
        fold_wakes(pool.pk)
        reading = read_pool(pool.pk)
    read = {reading.queue_names[queue.queue_id]: len(queue.tenants) for queue in reading.share.queues if queue.tenants}
    assert read == {"tasks_team": 5, "tasks_sandbox": 1}


def test_queue_chosen_unexpectedly_fills_its_message(
    two_queues: list[Tenant], tick: Tick, worker: Registration
) -> None:
    with all_tenants():
        Worker.objects.update(slots=1)
        Queue.objects.filter(name="tasks_team").update(cap=1)
    assert tick().dispatched == 20
    submit(two_queues[0], 4)  # next in order again, with its queue at its cap
    with all_tenants():
        Worker.objects.update(slots=2)
    assert tick().dispatched == 20
    assert sorted(len({member.tenant_id for member in members}) for members in messages()) == [5, 5]


def test_cancelled_member_leaves_its_message_to_the_others(acme: Tenant, tick: Tick, worker: Registration) -> None:
    jobs = dispatch([acme], 3, tick)
    with tenant_context(acme):
        cancel_jobs(job_ids=[jobs[0].pk])
    tick()
    assert in_flight_of(acme) == 1
    (members,) = messages()
    started = start_all(members, worker)
    assert [one.job_id for one in started] == [jobs[1].pk, jobs[2].pk]
    complete_all(started)
    tick()
    assert in_flight_of(acme) == 0


def test_message_never_started_is_republished_whole_under_one_new_token(
    acme: Tenant, tick: Tick, worker: Registration, published: list[Hint]
) -> None:
    dispatch([acme], FULL + FEW, tick)
    before = list(published)
    assert [len(hint.execution_ids) for hint in before] == [FULL, FEW]
    published.clear()
    age(LiveExecution, published_at=16)
    assert republish_unstarted() == 2
    assert [list(hint.execution_ids) for hint in published] == [list(hint.execution_ids) for hint in before]
    old, new = before[0], published[0]
    assert old.token != new.token
    assert start_executions(execution_ids=old.execution_ids, token=old.token, worker_id=worker.worker_id) == []
    started = start_executions(execution_ids=new.execution_ids, token=new.token, worker_id=worker.worker_id)
    assert len(started) == FULL


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[Hint]:
    """Return the hints that were published."""
    hints: list[Hint] = []

    def publish(given: Sequence[Hint]) -> Sequence[Hint]:
        hints.extend(given)
        return ()

    monkeypatch.setattr(publishing, "publish", publish)
    return hints


def test_message_refused_by_the_broker_is_undone_whole(
    acme: Tenant, tick: Tick, worker: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "publish", lambda hints: hints[1:])
    submit(acme, FULL + FEW)
    know_estimates()
    result = tick()
    assert (result.dispatched, result.unpublished) == (FULL, FEW)
    assert [len(message) for message in messages()] == [FULL]
    assert in_flight_of(acme) == 2  # until the next tick has folded it
    monkeypatch.setattr(publishing, "publish", lambda hints: ())
    assert tick().dispatched == FEW
    assert in_flight_of(acme) == 2


def crash(started: Sequence[StartedExecution], *, was_merged: bool) -> None:
    settle(
        [
            settlement_builders.crashed(
                one.execution_id,
                one.fence,
                crash_count=one.crash_count,
                was_alone=not was_merged,
                cause="killed",
                is_lost=False,
                was_merged=was_merged,
            )
            for one in started
        ]
    )


def test_crash_of_a_message_counts_for_no_job_and_unmerges_them(
    tenants: list[Tenant], tick: Tick, worker: Registration
) -> None:
    jobs = dispatch(tenants[:2], 2, tick)
    (members,) = messages()
    crash(start_all(members, worker), was_merged=True)
    assert {(reload(job).state, reload(job).crash_count, reload(job).attempt) for job in jobs} == {("available", 0, 0)}
    fresh = [job for tenant in tenants[:2] for job in submit(tenant, 2)]
    warm_up(tick)
    in_messages = {live.job_id: len(message) for message in messages() for live in message}
    assert {in_messages[job.pk] for job in jobs if job.pk in in_messages} == {1}
    # In flight or not, in their order; new jobs are still merged with others.
    assert Counter(reload(job).merge_disabled for job in [*jobs, *fresh]) == {True: 4, False: 4}


@pytest.mark.parametrize("way", ["retry", "suspend", "hold", "publish"])
def test_unmerged_jobs_travel_alone_after_every_kind_of_return(
    acme: Tenant,
    tick: Tick,
    worker: Registration,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    dispatch([acme], 2, tick)
    crash(start_all(messages()[0], worker), was_merged=True)
    job_ids = list_available()
    if way == "retry":
        warm_up(tick)
        for message in messages():
            (one,) = start_all(message, worker)
            failure = settlement_builders.Failure("ValueError", "no", "")
            policy = settlement_builders.RetryPolicy(3, (0.0,))
            settle([settlement_builders.failed(one.execution_id, one.fence, failure, failed_attempts=1, policy=policy)])
    elif way == "suspend":
        with tenant_context(acme):
            for job_id in job_ids:
                suspend_job(job_id=job_id)
                resume_job(job_id=job_id)
    elif way == "hold":
        pause_kind(kind="noop")
        tick()
        assert not messages()
        resume_kind(kind="noop")
    else:
        with monkeypatch.context() as patch:
            patch.setattr(publishing, "publish", lambda hints: hints)
            tick()
    warm_up(tick)
    assert [len(message) for message in messages()] == [1, 1]


def list_available() -> list[UUID]:
    with all_tenants():
        return list(Job.objects.filter(state=JobState.AVAILABLE).values_list("id", flat=True))


def test_members_of_a_lost_worker_share_the_cost_of_its_slot(acme: Tenant, tick: Tick, worker: Registration) -> None:
    jobs = dispatch([acme], 5, tick)
    start_all(messages()[0], worker)
    age(LiveExecution, lease_expires_at=1, started_at=30)
    assert run_sweep().rescued == 5
    with all_tenants():
        measured = list(Execution.objects.values_list("measured_us", flat=True))
    # Thirty seconds of one slot, whichever job used them.
    assert 25_000_000 < sum(measured) < 31_000_000
    assert max(measured) - min(measured) <= 1_000
    assert {(reload(job).crash_count, reload(job).merge_disabled) for job in jobs} == {(0, True)}
    tick()


def test_merged_jobs_show_the_share_of_their_slot_once(tenants: list[Tenant], tick: Tick, worker: Registration) -> None:
    dispatch(tenants, 4, tick)
    gauges = gauges_now()
    assert sum(row.dispatched for row in gauges) == 20
    assert sum(row.slots_milli for row in gauges) == pytest.approx(1_000, abs=5)
