"""A pool with slots, and hands that do what a worker does."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.db.models.functions import Now

from scheduling.bulk import reroute, running
from scheduling.dispatch import broker, leadership, one_way
from scheduling.dispatch.tick import TickResult, run_tick
from scheduling.execution.start import StartedExecution, start_execution
from scheduling.fleet.workers import Registration, register_worker
from scheduling.models import LiveExecution, PoolClock, WorkerPool
from tenants.context import all_tenants


@pytest.fixture
def patient_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that must not be sat upon is taken here in the transaction of a whole test."""
    monkeypatch.setattr(leadership, "TICK_IDLE_TIMEOUT_MS", 600_000)


@pytest.fixture(autouse=True)
def own_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatcher's channel in the broker is the test's own: tests of another process run beside it.

    What is told is there when the call returns, so that a test may look, and a busy machine makes nobody give up.
    """
    monkeypatch.setattr(one_way, "HEARD_SECONDS", 0.0)
    monkeypatch.setattr(broker._one_way, "_heard_until", 0.0)
    monkeypatch.setattr(broker, "_impatient_client", broker._client)
    for name in ("WAKE_KEY", "NEWS_KEY", "FILLED_KEY", "ENDING_KEY", "LATE_WAKE_KEY"):
        monkeypatch.setattr(broker, name, f"{getattr(broker, name)}:{uuid4().hex}")


@pytest.fixture
def pool(db: None) -> WorkerPool:
    """The pool of the job queues."""
    return WorkerPool.objects.get(name="default")


@pytest.fixture
def worker(pool: WorkerPool) -> Registration:
    """A worker with four slots that has just sent its heartbeat, of a pool that has just been ticked."""
    with all_tenants():
        PoolClock.objects.filter(pool=pool).update(ticked_at=Now())
    return register_worker(pool_name=pool.name, hostname="test", pid=1, slots=4)


@pytest.fixture
def tick(pool: WorkerPool) -> Callable[[], TickResult]:
    """One tick of the pool."""
    return lambda: run_tick(pool.pk)


@pytest.fixture
def start(worker: Registration) -> Callable[[UUID], StartedExecution | None]:
    """Begin a dispatched job's execution as the worker does."""

    def start_job(job_id: UUID) -> StartedExecution | None:
        with all_tenants():
            live = LiveExecution.objects.get(job_id=job_id)
        return start_execution(execution_id=live.id, token=live.token, worker_id=worker.worker_id)

    return start_job


@pytest.fixture
def settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reroutes wait for no open submission, and a turn's timeout does not bound the whole test."""
    monkeypatch.setattr(reroute, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(running, "TURN_IDLE_TIMEOUT_MS", 600_000)
