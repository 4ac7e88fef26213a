"""Named wakes: which pools a wake is for, and what a tick reports for the next ones."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduling.dispatch import broker
from scheduling.dispatch.tick import run_tick
from scheduling.execution.settlement import Settlement, settle
from scheduling.fleet.workers import Registration
from scheduling.models import Job, JobDue, Queue, WorkerPool
from scheduling.topology.service import create_queue, create_routing_rule, create_worker_pool
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, submit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def far(worker: Registration) -> Queue:
    """Create a queue of another pool."""
    create_worker_pool(name="far")
    queue = create_queue(name="far", pool="far")
    broker.drain_signals()
    return queue


def name_of(job: Job) -> str:
    with all_tenants():
        return Queue.objects.get(pk=job.queue_id).name


def test_submission_wake_names_its_queues_as_filled(acme: Tenant) -> None:
    (job,) = submit(acme)
    assert broker.drain_signals() == broker.DispatchSignals(filled=frozenset({name_of(job)}))


def test_settlement_wake_names_its_queue(acme: Tenant, worker: Registration, tick: Tick, start: Start) -> None:
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    broker.drain_signals()
    settle([Settlement.completed(started.execution_id, started.fence, None)])
    assert broker.drain_signals().queues == {name_of(job)}


def test_wake_for_everything_includes_named_ones(acme: Tenant) -> None:
    (job,) = submit(acme)
    broker.wake_dispatcher()
    broker.wake_dispatcher({"far"})
    assert broker.drain_signals() == broker.DispatchSignals(True, frozenset({"far"}), frozenset({name_of(job)}))
    broker.wake_dispatcher((), is_filled=True)
    assert broker.drain_signals().is_everything


def test_earlier_wake_is_taken_with_later_news() -> None:
    broker.wake_dispatcher({"near"})
    assert broker.wait_for_wake(1.0)
    broker.wake_dispatcher({"far"})
    assert broker.drain_signals() == broker.DispatchSignals(queues=frozenset({"near", "far"}))
    assert not broker.client().exists(broker.WAKE_KEY)


def test_each_submission_wakes_and_its_news_are_taken_once() -> None:
    for _ in range(2):
        broker.wake_dispatcher(["near"], is_filled=True)
        assert broker.wait_for_wake(1.0)
    assert broker.drain_signals() == broker.DispatchSignals(filled=frozenset({"near"}))
    assert broker.drain_signals() == broker.DispatchSignals()


def test_invalid_bytes_in_news_are_an_unknown_queue() -> None:
    for key in (broker.NEWS_KEY, broker.FILLED_KEY):
        broker.client().sadd(key, b"\xff\xfe")
    assert broker.drain_signals() == broker.DispatchSignals(
        False, frozenset({"\ufffd\ufffd"}), frozenset({"\ufffd\ufffd"})
    )
    assert broker.drain_signals() == broker.DispatchSignals()


@pytest.mark.parametrize("cap", [1, 2])
def test_tenant_below_its_cap_again_wakes_other_pools(
    acme: Tenant, worker: Registration, far: Queue, pool: WorkerPool, tick: Tick, start: Start, cap: int
) -> None:
    with all_tenants():
        Tenant.objects.filter(pk=acme.pk).update(max_concurrency=cap)
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    create_routing_rule(values={"position": 1, "kind": "sleep", "queue": far})
    submit(acme, kind="sleep", payload={"seconds": 0})
    settle([Settlement.completed(started.execution_id, started.fence, None)])
    result = tick()
    assert result.has_woken_others == (cap == 1)


def test_due_jobs_wake_other_pools(acme: Tenant, worker: Registration, pool: WorkerPool) -> None:
    assert not run_tick(pool.pk).has_woken_others
    submit(acme, run_at=read_clock() + timedelta(hours=1))
    assert not run_tick(pool.pk).has_woken_others
    with all_tenants():
        JobDue.objects.update(due_at=read_clock())
    assert run_tick(pool.pk).has_woken_others
