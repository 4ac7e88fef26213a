"""Late wakes with two dispatchers: a job submitted during a tick is dispatched at once, whichever receives the wake."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from django.db import connection

from scheduling.dispatch import broker, tick
from scheduling.dispatch.loop import DispatchLoop
from scheduling.dispatch.tick import run_tick
from scheduling.fleet.workers import Registration
from scheduling.jobs.lifecycle import JobState
from scheduling.models import Job, JobEvent, WorkerPool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db(transaction=True)

DEADLINE_SECONDS = 20.0


@pytest.fixture(autouse=True)
def no_wakes(pool: WorkerPool) -> None:
    """Remove the wakes of other tests."""
    broker.client().delete(broker.WAKE_KEY)
    broker.pop_repeated_tick(pool.pk)


@pytest.fixture
def waits() -> Counter[str]:
    """Return how often each dispatcher has started to wait for a wake."""
    return Counter()


@pytest.fixture
def start_dispatcher(waits: Counter[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Start a dispatcher as a thread of that name, which ticks only when woken."""
    stopped = threading.Event()
    wait = broker.wait_for_wake

    def wait_for_wake(_: float) -> bool:
        waits[threading.current_thread().name] += 1
        while not stopped.is_set():
            if wait(0.2):
                return True
        return False

    monkeypatch.setattr(broker, "wait_for_wake", wait_for_wake)
    threads: list[threading.Thread] = []

    def start(name: str) -> None:
        threads.append(threading.Thread(target=DispatchLoop(stopped, ()).run, name=name))
        threads[-1].start()

    yield start
    stopped.set()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def is_dispatched(job: Job) -> bool:
    with all_tenants():
        return Job.objects.filter(pk=job.pk, state=JobState.DISPATCHED).exists()


def test_tick_during_which_a_wake_was_left_has_more(pool: WorkerPool, worker: Registration) -> None:
    broker.request_repeated_tick(pool.pk)
    assert run_tick(pool.pk).has_more
    assert not run_tick(pool.pk).has_more


def test_late_wake_is_left_only_for_its_pool(pool: WorkerPool, worker: Registration) -> None:
    broker.request_repeated_tick(pool.pk + 1)
    assert not run_tick(pool.pk).has_more
    assert broker.pop_repeated_tick(pool.pk + 1)


def test_job_submitted_during_a_tick_is_dispatched_after_it(
    acme: Tenant,
    pool: WorkerPool,
    worker: Registration,
    start_dispatcher: Callable[[str], None],
    waits: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has_looked, may_end = threading.Event(), threading.Event()
    lead = tick.lead_pool

    def lead_slowly(pool_id: int) -> object:
        news = lead(pool_id)
        if threading.current_thread().name == "leader" and pool_id == pool.pk and not has_looked.is_set():
            has_looked.set()
            may_end.wait(DEADLINE_SECONDS)
        return news

    monkeypatch.setattr(tick, "lead_pool", lead_slowly)
    start_dispatcher("leader")
    assert has_looked.wait(DEADLINE_SECONDS)
    (job,) = submit(acme)
    start_dispatcher("other")
    # It has taken the wake, found the lock taken, and waits again.
    until(lambda: waits["other"] == 2)
    may_end.set()
    until(lambda: is_dispatched(job))


def test_submission_event_precedes_the_dispatch_event_within_a_tick(
    pool: WorkerPool, worker: Registration, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Submit while a tick waits for a lock; the tick dispatches the job."""
    lead, submitted = tick.lead_pool, []

    def submit_elsewhere() -> None:
        submitted.extend(submit(acme))
        connection.close()

    def lead_and_submit(pool_id: int) -> object:
        news = lead(pool_id)
        elsewhere = threading.Thread(target=submit_elsewhere)
        elsewhere.start()
        elsewhere.join(DEADLINE_SECONDS)
        # The wake of this tick was folded before; the submission is for another tick to fold.
        return replace(news, is_woken=True) if news else None

    monkeypatch.setattr(tick, "lead_pool", lead_and_submit)
    assert run_tick(pool.pk).dispatched == 1
    with all_tenants():
        events = JobEvent.objects.filter(job_id=submitted[0].pk).order_by("at").values_list("name", flat=True)
        assert list(events) == ["job.submitted", "job.dispatched"]
