"""Who comes next is looked for while what has ended is settled."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from scheduling.dispatch import broker
from scheduling.dispatch.read import read_pool
from scheduling.dispatch.tick import run_tick
from scheduling.execution import verdicts
from scheduling.execution.settlement import settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.lifecycle import JobState
from scheduling.models import CFSPlan, Job, LiveExecution, Queue, QueueClock, Worker, WorkerPool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.acts import Start, begin, beside, submit

pytestmark = pytest.mark.django_db(transaction=True)

type Tick = Callable[[], object]


@pytest.fixture(autouse=True)
def one_slot(worker: Registration) -> None:
    """The pool has one slot."""
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


def test_the_slot_of_what_is_being_settled_is_as_good_as_free(
    acme: Tenant, pool: WorkerPool, tick: Tick, start: Start
) -> None:
    first, second, third = submit(acme, 3)
    tick()
    started = begin(start, first)
    tick()
    assert states([first, second]) == [JobState.EXECUTING, JobState.AVAILABLE]
    token = live_of(first).token
    assert run_tick(pool.pk, ending=[token]).dispatched == 1
    # That slot is taken now, whoever tells it again.
    assert run_tick(pool.pk, ending=[token]).dispatched == 0
    assert states([first, second, third]) == [JobState.EXECUTING, JobState.DISPATCHED, JobState.AVAILABLE]
    settle([verdicts.completed(started.execution_id, started.fence, None)])
    assert run_tick(pool.pk, ending=[token]).dispatched == 0
    assert states([first, second, third]) == [JobState.COMPLETED, JobState.DISPATCHED, JobState.AVAILABLE]
    assert faults_of("counters", "ready") == []
    assert faults_of("ledger") == []


def test_whoever_is_at_its_cap_has_its_own_slot_again(
    acme: Tenant, globex: Tenant, pool: WorkerPool, tick: Tick, start: Start
) -> None:
    """Its next job can be handed out only when the settlement is folded; the slot is not given away before."""
    with all_tenants():
        Tenant.objects.filter(pk=acme.pk).update(max_concurrency=1)
    own = submit(acme, 2)
    tick()
    started = begin(start, own[0])
    others = submit(globex, 2)
    assert run_tick(pool.pk, ending=[live_of(own[0]).token]).dispatched == 0
    with all_tenants():
        # The other, which has a queue of its own, has had more, so that its turn comes later.
        assert own[0].queue_id != others[0].queue_id
        QueueClock.objects.filter(queue_id=others[0].queue_id).update(vruntime=10**15)
    settle([verdicts.completed(started.execution_id, started.fence, None)])
    assert run_tick(pool.pk).dispatched == 1
    assert states([*own, *others]) == ["completed", "dispatched", "available", "available"]


@pytest.mark.parametrize("cap", [1, 2])
def test_the_slot_of_a_settlement_that_a_tick_came_too_early_to_fold(
    acme: Tenant,
    globex: Tenant,
    pool: WorkerPool,
    tick: Tick,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    cap: int,
) -> None:
    """Of whoever is at its cap it is kept until the next tick has folded that; of all others it is free."""
    with all_tenants():
        Tenant.objects.filter(pk=acme.pk).update(max_concurrency=cap)
    own = submit(acme, 2)
    tick()
    started = begin(start, own[0])
    others = submit(globex, 2)

    def settle_first(*positional: object, **named: object) -> object:
        monkeypatch.undo()
        beside(lambda: settle([verdicts.completed(started.execution_id, started.fence, None)])).join()
        return read_pool(*positional, **named)

    monkeypatch.setattr(f"{run_tick.__module__}.read_pool", settle_first)
    assert run_tick(pool.pk).dispatched == cap - 1
    if cap == 1:
        with all_tenants():
            QueueClock.objects.filter(queue_id=others[0].queue_id).update(vruntime=10**15)
        assert run_tick(pool.pk).dispatched == 1
        assert states([*own, *others]) == ["completed", "dispatched", "available", "available"]
    assert faults_of("counters", "ready") == []


def test_a_queue_at_its_cap_has_its_own_slot_again(acme: Tenant, pool: WorkerPool, tick: Tick, start: Start) -> None:
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


def test_where_slots_are_reserved_a_slot_is_free_when_it_is_settled(
    acme: Tenant, pool: WorkerPool, tick: Tick, start: Start
) -> None:
    first, second = submit(acme, 2)
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(reserved_slots=1)
    tick()
    begin(start, first)
    assert run_tick(pool.pk, ending=[live_of(first).token]).dispatched == 0
    assert states([first, second]) == ["executing", "available"]


def test_a_message_that_nobody_has_begun_is_not_ending_whatever_the_broker_says(
    acme: Tenant, pool: WorkerPool, tick: Tick
) -> None:
    first, second = submit(acme, 2)
    tick()
    assert run_tick(pool.pk, ending=[live_of(first).token, uuid4()]).dispatched == 0
    assert states([first, second]) == [JobState.DISPATCHED, JobState.AVAILABLE]


def test_a_settlement_that_fails_leaves_one_message_too_many_which_waits(
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


def test_tokens_pass_through_the_broker_once_and_strangers_words_are_dropped() -> None:
    broker.take_news()  # that of the worker's registration
    tokens = [uuid4(), uuid4()]
    for token in tokens:
        broker.announce_ending(token, "a")
    broker._client().rpush(broker.ENDING_KEY, "nonsense", b"\xff" * 15)
    assert broker._client().exists(broker.WAKE_KEY)
    assert broker.wait_for_wake(0.1)
    assert not broker._client().exists(broker.WAKE_KEY)
    assert broker.take_news() == broker.News(queues=frozenset({"a"}), endings=tuple(tokens))
    assert broker.take_news() == broker.News()


def test_no_more_are_kept_than_anybody_takes() -> None:
    for _ in range(3):
        broker._client().rpush(broker.ENDING_KEY, *[uuid4().bytes] * broker.MOST_ENDINGS)
    last = uuid4()
    broker.announce_ending(last, "a")
    taken = broker.take_news().endings
    assert (len(taken), taken[-1]) == (broker.MOST_ENDINGS, last)
