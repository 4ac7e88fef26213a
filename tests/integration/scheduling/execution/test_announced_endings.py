"""Ending messages: the next job is picked while the previous one is being settled."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from scheduling.dispatch import broker
from scheduling.dispatch.claim import NextTickTrigger
from scheduling.dispatch.read import read_pool
from scheduling.dispatch.tick import run_tick
from scheduling.execution.settlement import Settlement, settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.lifecycle import JobState
from scheduling.models import CFSPlan, Job, LiveExecution, Queue, QueueClock, Worker, WorkerPool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Start, begin, beside, submit

pytestmark = pytest.mark.django_db(transaction=True)

type Tick = Callable[[], object]


@pytest.fixture(autouse=True)
def one_slot(worker: Registration) -> None:
    """Give the pool one slot."""
    with all_tenants():
        Worker.objects.update(slots=1)
        Tenant.objects.update(max_concurrency=10)


def live_of(job: Job) -> LiveExecution:
    with all_tenants():
        return LiveExecution.objects.get(job_id=job.pk)


def states(jobs: list[Job]) -> list[str]:
    with all_tenants():
        found = dict(Job.objects.values_list("pk", "state"))
    return [found[job.pk] for job in jobs]


def test_slot_of_a_settling_message_counts_as_free(acme: Tenant, pool: WorkerPool, tick: Tick, start: Start) -> None:
    first, second, third = submit(acme, 3)
    tick()
    started = begin(start, first)
    tick()
    assert states([first, second]) == [JobState.EXECUTING, JobState.AVAILABLE]
    token = live_of(first).token
    assert run_tick(pool.pk, ending=[token]).dispatched == 1
    # That slot is taken now, and another announcement changes nothing.
    assert run_tick(pool.pk, ending=[token]).dispatched == 0
    assert states([first, second, third]) == [JobState.EXECUTING, JobState.DISPATCHED, JobState.AVAILABLE]
    settle([Settlement.completed(started.execution_id, started.fence, None)])
    assert run_tick(pool.pk, ending=[token]).dispatched == 0
    assert states([first, second, third]) == [JobState.COMPLETED, JobState.DISPATCHED, JobState.AVAILABLE]
    assert faults_of("counters", "ready") == []
    assert faults_of("ledger") == []


def test_tenant_at_its_cap_reuses_its_settling_slot(
    acme: Tenant, globex: Tenant, pool: WorkerPool, tick: Tick, start: Start
) -> None:
    """Dispatch its next job only once the settlement is folded, and keep the slot for it until then."""
    with all_tenants():
        Tenant.objects.filter(pk=acme.pk).update(max_concurrency=1)
    own = submit(acme, 2)
    tick()
    started = begin(start, own[0])
    others = submit(globex, 2)
    result = run_tick(pool.pk, ending=[live_of(own[0]).token])
    # The settlement of the announced end is awaited as one that was not announced.
    assert (result.dispatched, result.awaited) == (0, NextTickTrigger.EITHER)
    with all_tenants():
        # The other tenant, with its own queue, had more service, so that it comes later.
        assert own[0].queue_id != others[0].queue_id
        QueueClock.objects.filter(queue_id=others[0].queue_id).update(vruntime=10**15)
    settle([Settlement.completed(started.execution_id, started.fence, None)])
    assert run_tick(pool.pk).dispatched == 1
    assert states([*own, *others]) == ["completed", "dispatched", "available", "available"]


@pytest.mark.parametrize("cap", [1, 2])
def test_unfolded_settlements_slot_is_kept_for_a_tenant_at_its_cap(
    acme: Tenant,
    globex: Tenant,
    pool: WorkerPool,
    tick: Tick,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    cap: int,
) -> None:
    """Keep it until the next tick has folded the settlement; without a cap it is free."""
    with all_tenants():
        Tenant.objects.filter(pk=acme.pk).update(max_concurrency=cap)
    own = submit(acme, 2)
    tick()
    started = begin(start, own[0])
    others = submit(globex, 2)

    def settle_first(*positional: object, **named: object) -> object:
        monkeypatch.undo()
        beside(lambda: settle([Settlement.completed(started.execution_id, started.fence, None)])).join()
        return read_pool(*positional, **named)

    monkeypatch.setattr(f"{run_tick.__module__}.read_pool", settle_first)
    assert run_tick(pool.pk).dispatched == cap - 1
    if cap == 1:
        with all_tenants():
            QueueClock.objects.filter(queue_id=others[0].queue_id).update(vruntime=10**15)
        assert run_tick(pool.pk).dispatched == 1
        assert states([*own, *others]) == ["completed", "dispatched", "available", "available"]
    assert faults_of("counters", "ready") == []


def test_queue_at_its_cap_reuses_its_settling_slot(acme: Tenant, pool: WorkerPool, tick: Tick, start: Start) -> None:
    first, second = submit(acme, 2)
    with all_tenants():
        Queue.objects.filter(pk=first.queue_id).update(cap=1)
    tick()
    begin(start, first)
    assert run_tick(pool.pk, ending=[live_of(first).token]).dispatched == 0
    with all_tenants():
        Queue.objects.filter(pk=first.queue_id).update(cap=2)
    assert run_tick(pool.pk, ending=[live_of(first).token]).dispatched == 1
    assert states([first, second]) == ["executing", "dispatched"]


def test_settling_slot_is_not_reused_with_reserved_slots(
    acme: Tenant, pool: WorkerPool, tick: Tick, start: Start
) -> None:
    first, second = submit(acme, 2)
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(reserved_slots=1)
    tick()
    begin(start, first)
    assert run_tick(pool.pk, ending=[live_of(first).token]).dispatched == 0
    assert states([first, second]) == ["executing", "available"]


def test_message_never_started_is_not_counted_as_ending(acme: Tenant, pool: WorkerPool, tick: Tick) -> None:
    first, second = submit(acme, 2)
    tick()
    assert run_tick(pool.pk, ending=[live_of(first).token, uuid4()]).dispatched == 0
    assert states([first, second]) == [JobState.DISPATCHED, JobState.AVAILABLE]


def test_failed_settlement_leaves_one_extra_message_that_waits(
    acme: Tenant, pool: WorkerPool, tick: Tick, start: Start
) -> None:
    jobs = submit(acme, 4)
    tick()
    begin(start, jobs[0])
    token = live_of(jobs[0]).token
    for _ in range(3):
        run_tick(pool.pk, ending=[token])
    assert states(jobs) == [JobState.EXECUTING, JobState.DISPATCHED, JobState.AVAILABLE, JobState.AVAILABLE]
    assert faults_of("counters", "ready") == []


def test_end_that_was_announced_is_told_apart_unless_its_job_waits_again(
    acme: Tenant, tick: Tick, start: Start
) -> None:
    with all_tenants():
        Worker.objects.update(slots=3)
    jobs = submit(acme, 3)
    tick()
    ends = [Settlement.completed(one.execution_id, one.fence, None) for one in (begin(start, job) for job in jobs)]
    ends[1].is_end_announced = ends[2].is_end_announced = True
    ends[2].state = JobState.AVAILABLE
    sent = []
    for end in ends:
        broker.drain_signals()
        settle([end])
        news = broker.drain_signals()
        sent.append((len(news.queues), len(news.ended)))
    assert sent == [(1, 0), (0, 1), (1, 0)]


def test_ending_tokens_are_read_once_and_invalid_ones_dropped() -> None:
    broker.drain_signals()  # drop the wake of the worker's registration
    tokens = [uuid4(), uuid4()]
    for token in tokens:
        broker.announce_ending(token, "a")
    broker.client().rpush(broker.ENDING_KEY, "nonsense", b"\xff" * 15)
    assert broker.client().exists(broker.WAKE_KEY)
    assert broker.wait_for_wake(0.1)
    assert not broker.client().exists(broker.WAKE_KEY)
    assert broker.drain_signals() == broker.DispatchSignals(queues=frozenset({"a"}), endings=tuple(tokens))
    assert broker.drain_signals() == broker.DispatchSignals()


def test_ending_tokens_are_limited() -> None:
    for _ in range(3):
        broker.client().rpush(broker.ENDING_KEY, *[uuid4().bytes] * broker.MOST_ENDINGS)
    last = uuid4()
    broker.announce_ending(last, "a")
    taken = broker.drain_signals().endings
    assert (len(taken), taken[-1]) == (broker.MOST_ENDINGS, last)
