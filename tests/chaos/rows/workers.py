"""Workers that die, stop, or are replaced."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from uuid import UUID

from tests.acceptance.processes import ManagedProcess
from tests.chaos.load import Traffic
from tests.chaos.row import Field, Row
from tests.chaos.stack import Shape, pause, resume
from tests.chaos.view import Running

LONG_JOB = {"steps": 20, "seconds": 0.25}
_LAST_STARTS = """
SELECT extract(epoch FROM at)::float8 FROM scheduling_jobevent
WHERE name = 'execution.started' AND at > to_timestamp(%s) ORDER BY at
"""
_PUBLISHED_AGAIN = """
SELECT extract(epoch FROM l.published_at - l.dispatched_at)::float8 FROM scheduling_execution_live l
WHERE l.job_id = %s AND l.published_at > l.dispatched_at
"""
_RETURNED = """
SELECT extract(epoch FROM at)::float8 FROM scheduling_jobevent
WHERE job_id = %s AND name = 'execution.shutdown' ORDER BY at DESC LIMIT 1
"""
BURNED = "SELECT count(*) FROM scheduling_job WHERE id = ANY (%s) AND (attempt > 0 OR crash_count > 0)"
# The transaction is idle for longer than any other of the platform: its job sleeps in it.
_HELD = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name LIKE 'worker %%' AND state = 'idle in transaction' AND state_change < now() - interval '1 s'
"""
CRASHES = "SELECT crash_count FROM scheduling_job WHERE id = %s"


def keep_busy(field: Field, count: int, payload: dict[str, object] = LONG_JOB) -> list[UUID]:
    """Submit long jobs of the third tenant, which has the greatest cap, and wait until all run."""
    ids = [field.job_of(field.submit(2, "chaos_steps", payload)) for _ in range(count)]
    field.stack.until(
        lambda: {job.job_id for job in field.view.running()} >= set(ids), within=field.patience_seconds, what="all run"
    )
    return ids


def running_in(field: Field, worker: ManagedProcess) -> list[Running]:
    children = set(worker.children())
    return [job for job in field.view.running() if job.pid in children]


def a_busy_worker(field: Field) -> tuple[ManagedProcess, list[Running]]:
    """Return a worker with long jobs, and its running jobs."""
    ids = set(keep_busy(field, 2))
    job = field.stack.until(
        lambda: next((job for job in field.view.running() if job.job_id in ids), None), within=20, what="one runs"
    )
    assert job is not None
    worker = field.stack.worker_of(job.pid)
    return worker, running_in(field, worker)


class ChildKilled(Row):
    id, fault = "W1", "kill -9 of a pool child that runs a job"
    bound_seconds, measured = 15.0, "from the kill to the job's next start"

    def inject(self, field: Field) -> list[float]:
        recoveries = []
        for _ in range(2):
            (job_id,) = keep_busy(field, 1)
            field.wait(0.0, 2.0)
            job = next((job for job in field.view.running() if job.job_id == job_id), None)
            assert job is not None, "the job ended before its process was killed"
            killed_at = time.time()
            os.kill(job.pid, signal.SIGKILL)
            recoveries.append(field.all_started([job_id], killed_at))
        return recoveries


class WorkerKilled(Row):
    id, fault = "W2", "kill -9 of a whole worker"
    bound_seconds, measured = 15.0, "from the kill to the next start of the last job that ran in it"

    def inject(self, field: Field) -> list[float]:
        worker, _ = a_busy_worker(field)
        field.wait(0.0, 1.5)
        inside = running_in(field, worker)
        killed_at = time.time()
        worker.kill()
        return [field.restarted_after(inside, killed_at)] if inside else []


class PopLost(Row):
    id, fault = "W3", "worker stopped, message published, worker killed: the pop is lost"
    minutes = 2.0
    bound_seconds, measured = 17.0, "from the dispatch to the next publication of the message"
    shape = Shape(workers=1, slots=2)
    traffic = None
    # The lost message must be the row's.
    is_watched = False

    def inject(self, field: Field) -> list[float]:
        field.stack.is_kept = False
        (worker,) = field.stack.workers
        field.wait(0.0, 2.0)
        pause(worker)
        job_id = field.job_of(field.submit(0, "chaos_steps", {"steps": 1}))
        field.stack.until(field.view.unstarted, within=20, what="the job is dispatched")
        # Time for the broker to deliver the message to a waiting consumer.
        field.wait(0.5, 1.5)
        worker.kill()
        field.stack.is_kept = True
        found = field.stack.until(
            lambda: field.view.rows(_PUBLISHED_AGAIN, [job_id]) or _was_begun(field, job_id),
            within=field.patience_seconds,
            what="the message is published again",
        )
        return [float(found[0][0])]


def _was_begun(field: Field, job_id: UUID) -> list[tuple[float]]:
    """Return the time from dispatch to start, if a poll was too late to see the message."""
    return field.view.rows(
        "SELECT extract(epoch FROM s.at - d.at)::float8 FROM scheduling_jobevent s JOIN scheduling_jobevent d"
        " USING (execution_id) WHERE s.job_id = %s AND s.name = 'execution.started' AND d.name = 'job.dispatched'",
        [job_id],
    )


class Zombie(Row):
    id, fault = "W4", "worker stopped by SIGSTOP for 60 s, then continued"
    minutes = 2.5
    bound_seconds, measured = 15.0, "from the stop to the next start of the last job that ran in it; it has no effects"
    shape = Shape(workers=2, slots=2)
    seeds = 1
    STOPPED_SECONDS = 60.0

    def inject(self, field: Field) -> list[float]:
        worker, _ = a_busy_worker(field)
        field.wait(0.0, 1.5)
        inside = running_in(field, worker)
        assert inside, "nothing ran in the worker when it was stopped"
        stopped_at = time.time()
        pause(worker)
        try:
            recovery = field.restarted_after(inside, stopped_at)
            field.wait(*[max(0.0, stopped_at + self.STOPPED_SECONDS - time.time())] * 2)
        finally:
            resume(worker)
        # Time for all its remaining actions.
        field.wait(8.0, 10.0)
        return [recovery]


class Deploy(Row):
    id, fault = "W6", "SIGTERM with jobs of 12 s that reach no safe point, grace 8 s"
    bound_seconds, measured = 9.0, "from SIGTERM until the job is back in its queue, no attempt counted"
    shape = Shape(workers=1, slots=2)
    traffic = None

    def inject(self, field: Field) -> list[float]:
        ids = keep_busy(field, 2, {"steps": 1, "seconds": 12.0, "is_deaf": True})
        field.wait(0.0, 2.0)
        (worker,) = field.stack.workers
        asked_at = time.time()
        worker.ask_to_stop()
        recoveries = []
        for job_id in ids:
            found = field.stack.until(
                lambda job_id=job_id: field.view.rows(_RETURNED, [job_id]),
                within=field.patience_seconds,
                what="it has returned",
            )
            recoveries.append(float(found[0][0]) - asked_at)
        if burned := int(field.view.number(BURNED, [ids])):
            field.violations.append(f"{burned} jobs lost an attempt by a deploy")
        return recoveries


class RollingRestart(Row):
    id, fault = "W7", "rolling restart of all workers under load"
    minutes = 2.0
    bound_seconds, measured = 10.0, "the longest time without a start"
    shape = Shape(workers=2, slots=2, caps=(3, 3, 3))
    traffic = Traffic(per_second=5.0, most_steps=4, step_seconds=0.25)
    seeds = 1

    def inject(self, field: Field) -> list[float]:
        field.wait(0.0, 3.0)
        began_at = time.time()
        for old in list(field.stack.workers):
            old.ask_to_stop()
            field.stack.until(lambda old=old: not old.is_running, within=60, what="the old worker has exited")
            field.stack.until(field.stack.is_whole, within=150, what="the new worker serves")
        field.wait(1.0, 1.0)
        starts = [began_at, *(float(at) for (at,) in field.view.rows(_LAST_STARTS, [began_at])), time.time()]
        return [max(later - earlier for earlier, later in pairwise(starts))]


class Killers(Row):
    id, fault = "W8", "jobs that kill their process, and their worker, in a batch of others"
    minutes = 4.0
    bound_seconds, measured = 60.0, "until both are quarantined: three crashes and three recoveries"
    shape = Shape(workers=1, slots=1, caps=(3, 3, 3))
    traffic = None
    may_end = frozenset({"worker"})
    # Its only slot is killed repeatedly: no job of another tenant begins in time.
    is_watched = False

    def inject(self, field: Field) -> list[float]:
        began_at = time.time()
        others = [field.job_of(field.submit(1, "chaos_steps", {"steps": 2, "seconds": 0.1})) for _ in range(4)]
        killers = [field.job_of(field.submit(1, "chaos_killer", {"kills": kills})) for kills in ("process", "worker")]
        others += [field.job_of(field.submit(1, "chaos_steps", {"steps": 2, "seconds": 0.1})) for _ in range(4)]
        field.ended(killers, within=field.patience_seconds, state="quarantined")
        recovery = time.time() - began_at
        for job_id in killers:
            if (crashes := int(field.view.number(CRASHES, [job_id]))) > 3:
                field.violations.append(f"the killer {job_id} crashed {crashes} times before it was quarantined")
        field.ended(others, within=field.patience_seconds)
        return [recovery]


class CutOffInTransaction(Row):
    id, fault = "W9", "a worker is stopped for 25 s inside a transaction that has locked its job's row"
    minutes = 2.5
    bound_seconds, measured = 15.0, "from the stop to the next start of the last job that ran in it"
    shape = Shape(workers=2, slots=2)
    STOPPED_SECONDS = 25.0

    def inject(self, field: Field) -> list[float]:
        holder_id = field.job_of(field.submit(2, "chaos_holder", {"seconds": 300.0}))
        keep_busy(field, 2)
        field.stack.until(lambda: field.view.number(_HELD), within=20, what="a worker has locked its job's row")
        holder = field.stack.until(
            lambda: next((job for job in field.view.running() if job.job_id == holder_id), None),
            within=20,
            what="it runs",
        )
        assert holder is not None
        worker = field.stack.worker_of(holder.pid)
        inside = running_in(field, worker)
        stopped_at = time.time()
        pause(worker)
        try:
            recovery = field.restarted_after(inside, stopped_at)
            field.wait(*[max(0.0, stopped_at + self.STOPPED_SECONDS - time.time())] * 2)
        finally:
            resume(worker)
        field.ended([job.job_id for job in inside], within=field.patience_seconds)
        return [recovery]


ROWS = (ChildKilled, WorkerKilled, PopLost, Zombie, Deploy, RollingRestart, Killers, CutOffInTransaction)
