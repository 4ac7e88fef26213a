"""The limit of concurrency keys holds in every order of events, also with several dispatchers."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from django.db import connection
from django.db.models.functions import Now

from scheduling.bulk.moves import move_jobs
from scheduling.dispatch.tick import run_tick
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import start_execution
from scheduling.fleet.workers import Registration, register_worker
from scheduling.models import ConcurrencyKey, ConcurrencyKeyNews, Job, JobHeld, LiveExecution, Queue, Worker, WorkerPool
from scheduling.topology.service import create_worker_pool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.dispatch.test_invariants import check_histories, recount
from tests.integration.scheduling.job_helpers import Tick, submit
from tests.integration.scheduling.random_walk import Walk
from tests.integration.scheduling.random_walk_with_stops import StoppingWalk

STEPS = 200
# Keys with more jobs in flight than the kinds' limit of one, and keys whose number differs from a recount.
EXCESS = """
SELECT kind, concurrency_key, count(*) FROM scheduling_execution_live
WHERE concurrency_key IS NOT NULL GROUP BY tenant_id, kind, concurrency_key HAVING count(*) > 1
UNION ALL
SELECT kind, concurrency_key, coalesce(in_flight, 0) - coalesce(jobs, 0) FROM scheduling_concurrency_key FULL JOIN (
    SELECT tenant_id, kind, concurrency_key, sum(jobs) AS jobs FROM (
        SELECT tenant_id, kind, concurrency_key, 1 AS jobs FROM scheduling_execution_live
        WHERE concurrency_key IS NOT NULL
        UNION ALL SELECT tenant_id, kind, concurrency_key, ended FROM scheduling_concurrency_key_news
    ) AS executions GROUP BY 1, 2, 3
) AS counted USING (tenant_id, kind, concurrency_key)
WHERE coalesce(in_flight, 0) <> coalesce(jobs, 0)
UNION ALL
SELECT j.kind, j.concurrency_key, -1 FROM scheduling_job j JOIN (
    SELECT job_id, concurrency_key FROM scheduling_job_ready UNION ALL SELECT job_id, concurrency_key
    FROM scheduling_job_held UNION ALL SELECT job_id, concurrency_key FROM scheduling_execution_live
) AS place ON place.job_id = j.id WHERE place.concurrency_key IS DISTINCT FROM j.concurrency_key
UNION ALL
SELECT j.kind, j.unique_key, -2 FROM scheduling_job j LEFT JOIN scheduling_unique_key u ON u.job_id = j.id
WHERE (u.job_id IS NOT NULL) <> (j.unique_until = 'ended' AND j.finished_at IS NULL
    OR j.unique_until = 'started' AND j.finished_at IS NULL AND j.fence = 0)
"""


CAPS = "SELECT concurrency_key, count(*) FROM scheduling_execution_live GROUP BY 1 HAVING count(*) > 1"


def excess() -> list[tuple[str, str, int]]:
    """Return the keys whose limit or whose bookkeeping is violated."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(EXCESS)
        return cursor.fetchall()


class KeyedWalk(Walk):
    """A walk whose jobs have few keys, so that most wait for one."""

    def keys(self) -> dict[str, str]:
        return {
            "concurrency_key": self.random.choice(["", "a", "a", "b"]),
            "unique_key": self.random.choice(["", "", "x", "y"]),
            "unique_until": "",
        } | self.random.choice([{}, {}, {"unique_key": "z", "unique_until": "started"}])


class KeyedStoppingWalk(KeyedWalk, StoppingWalk):
    """Such a walk in which stops, limits and configuration change as well."""


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [KeyedWalk, KeyedStoppingWalk])
def test_limit_holds_and_no_slot_idles_on_a_random_walk(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, kind: type[KeyedWalk], seed: int
) -> None:
    walk = kind(seed, [acme, globex], tick, worker)
    for number in range(10 * STEPS):
        if number >= STEPS and has_repeated():
            break
        walk.step()
        assert excess() == [], f"seed {seed}, step {number}"
        assert recount() == [], f"seed {seed}, step {number}"
        assert walk.idle == [], f"seed {seed}, step {number}"
        assert faults_of("counters", "unique_keys") == [], f"seed {seed}, step {number}"
    # Stops may keep each such job from a second start.
    assert has_repeated() or kind is KeyedStoppingWalk
    check_histories()


def has_repeated() -> bool:
    """Return whether a job with a key was started again."""
    with all_tenants():
        return Job.objects.filter(concurrency_key="a", execution_count__gt=1).exists()


@pytest.fixture
def beside(pool: WorkerPool) -> WorkerPool:
    """Return a second pool, with one of the queues of the first."""
    other = create_worker_pool(name="beside")
    with all_tenants():
        Queue.objects.filter(name="tasks_sandbox").update(pool=other)
    return other


class Process:
    """Dispatchers and workers in threads, which stop at the first failure or after a minute."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.failures: list[str] = []
        self.ended: Counter[int] = Counter()

    def repeat(self, act: Callable[..., None], *args: object) -> threading.Thread:
        def run() -> None:
            try:
                while not self.stop.is_set():
                    act(*args)
            except Exception as error:  # noqa: BLE001 - reported by the test
                self.failures.append(repr(error))
                self.stop.set()
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def dispatch(self, pool_id: int) -> None:
        run_tick(pool_id)
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(CAPS)
            assert cursor.fetchall() == []

    def work(self, registration: Registration) -> None:
        """Complete the dispatched jobs of a worker."""
        with all_tenants():
            Worker.objects.filter(pk=registration.worker_id).update(heartbeat_at=Now())
            lives = list(LiveExecution.objects.filter(pool_id=registration.pool_id, started_at=None)[:4])
        for live in lives:
            started = start_execution(execution_id=live.id, token=live.token, worker_id=registration.worker_id)
            if started:
                settle([Settlement.completed(started.execution_id, started.fence, None)])
                self.ended[registration.pool_id] += 1
        self.stop.wait(0.001)


@pytest.mark.django_db(transaction=True)
def test_limit_holds_while_two_pools_tick_at_once(
    acme: Tenant, pool: WorkerPool, beside: WorkerPool, worker: Registration
) -> None:
    jobs = submit(acme, 40, concurrency_key="a") + submit(acme, 40, concurrency_key="b")
    with all_tenants():
        spare = Queue.objects.get(pool=beside)
        moved = move_jobs({job.pk: spare.pk for job in jobs[::2]}, reason="test")
    assert len(moved) == 40
    second = register_worker(pool_name=beside.name, hostname="test", pid=2, slots=4)
    process = Process()
    threads = [process.repeat(process.dispatch, one.pk) for one in (pool, beside, pool, beside)]
    threads += [process.repeat(process.work, one) for one in (worker, second)]
    until = time.monotonic() + 90
    while not process.stop.wait(0.05) and time.monotonic() < until and sum(process.ended.values()) < len(jobs):
        pass
    process.stop.set()
    for thread in threads:
        thread.join()
    assert process.failures == []
    assert process.ended == {pool.pk: 40, beside.pk: 40}
    for one in (pool, beside, pool):
        run_tick(one.pk)
    with all_tenants():
        assert not ConcurrencyKey.objects.exists()
        assert not ConcurrencyKeyNews.objects.exists()
        assert not JobHeld.objects.exists()
