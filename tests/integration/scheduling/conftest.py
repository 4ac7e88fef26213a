"""A pool with slots, and helpers that do what a worker does."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.db.models.functions import Now

from scheduling.bulk import reroute, turns
from scheduling.dispatch import broker, leadership
from scheduling.dispatch.tick import TICK_SETTINGS, TickResult, run_tick
from scheduling.execution.start import StartedExecution, start_execution
from scheduling.fleet.workers import Registration, register_worker
from scheduling.models import LiveExecution, PoolClock, WorkerPool
from tenants.context import all_tenants


@pytest.fixture
def no_lock_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the timeout of locks: a test holds them for its whole transaction."""
    monkeypatch.setattr(leadership, "TICK_IDLE_TIMEOUT_MS", 600_000)


@pytest.fixture(autouse=True)
def patient_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sessions of ticks idle for long: a test's transaction outlives a tick, and a busy machine is slow."""
    monkeypatch.setitem(TICK_SETTINGS, "idle_in_transaction_session_timeout", "600000")


@pytest.fixture(autouse=True)
def own_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test its own channel of the dispatcher in the broker, apart from tests of other processes.

    Messages have arrived when a call returns, so that a test can read them, and a busy machine causes no timeout.
    """
    monkeypatch.setattr(broker, "HEARD_SECONDS", 0.0)
    monkeypatch.setattr(broker, "impatient_client", broker.client)
    broker.notifier.reset()
    for name in ("WAKE_KEY", "NEWS_KEY", "FILLED_KEY", "ENDED_KEY", "ENDING_KEY", "LATE_WAKE_KEY"):
        monkeypatch.setattr(broker, name, f"{getattr(broker, name)}:{uuid4().hex}")


@pytest.fixture
def pool(db: None) -> WorkerPool:
    """Return the pool of the job queues."""
    return WorkerPool.objects.get(name="default")


@pytest.fixture
def worker(pool: WorkerPool) -> Registration:
    """Register a worker with four slots and a fresh heartbeat, in a pool that was just ticked."""
    with all_tenants():
        PoolClock.objects.filter(pool=pool).update(ticked_at=Now())
    return register_worker(pool_name=pool.name, hostname="test", pid=1, slots=4)


@pytest.fixture
def tick(pool: WorkerPool) -> Callable[[], TickResult]:
    """Return a function that runs one tick of the pool."""
    return lambda: run_tick(pool.pk)


@pytest.fixture
def start(worker: Registration) -> Callable[[UUID], StartedExecution | None]:
    """Return a function that starts a dispatched job's execution as the worker does."""

    def start_job(job_id: UUID) -> StartedExecution | None:
        with all_tenants():
            live = LiveExecution.objects.get(job_id=job_id)
        return start_execution(execution_id=live.id, token=live.token, worker_id=worker.worker_id)

    return start_job


@pytest.fixture
def no_settle_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reroutes wait for no open submission, and lift the timeout of a turn."""
    monkeypatch.setattr(reroute, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(turns, "TURN_IDLE_TIMEOUT_MS", 600_000)
