"""Processes that are replaced, start while their servers are away, or are misconfigured."""

from __future__ import annotations

import os
import resource
import signal
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from jobsplatform.embedded.servers import DATABASE
from tests.acceptance.serving import START_SECONDS, is_ready
from tests.chaos.history import ACCEPTED
from tests.chaos.load import Traffic
from tests.chaos.row import Field, Row
from tests.chaos.spans import HEALED, SpanRow, run_and_cut_off
from tests.chaos.stack import Shape, pause, resume
from tests.chaos.variables import OLD_BUILD_VARIABLE

# Queue of the tenants' plan.
QUEUE = "tasks_professional"
_POSTPONED = "SELECT count(*) FROM scheduling_jobevent WHERE name = 'execution.put_off'"
_KINDS = "SELECT count(*) FROM scheduling_worker WHERE status = 'online' AND NOT kinds ? 'chaos_steps'"
FILES = "/proc/{}/fd"
_STARTS = """
SELECT extract(epoch FROM at)::float8 FROM scheduling_jobevent
WHERE name = 'execution.started' AND at > to_timestamp(%s) ORDER BY at
"""


class EverythingReplaced(Row):
    id, fault = "S11", "SIGTERM of every process at once under load, each replaced when it has ended"
    bound_seconds, measured = 60.0, "from the signal until a job submitted then is accepted and begins"
    traffic = Traffic(per_second=5.0)

    def inject(self, field: Field) -> list[float]:
        field.wait(0.0, 2.0)
        stack = field.stack
        old = [one for one in [*stack.workers, *stack.dispatchers, stack.web, stack.auditor] if one is not None]
        asked_at = time.time()
        for process in old:
            process.ask_to_stop()
        stack.until(
            lambda: not any(one.is_running for one in old), within=field.patience_seconds, what="all have ended"
        )
        return [field.fresh_start(asked_at)]


class DispatcherWithoutBroker(Row):
    id, fault = "S12", "the only dispatcher is killed and starts while Valkey is down"
    bound_seconds, measured = 15.0, "from the return of Valkey until a job submitted then begins"

    def inject(self, field: Field) -> list[float]:
        field.stack.servers.kill_broker()
        for dispatcher in field.stack.dispatchers:
            dispatcher.kill()
        field.wait(10.0, 12.0)
        field.stack.servers.start_broker()
        return [field.fresh_start(time.time())]


class WorkerWithoutDatabase(Row):
    id, fault = "W21", "all workers and dispatchers are killed and start while PostgreSQL is down"
    bound_seconds, measured = 45.0, "from the return of PostgreSQL until a job submitted then begins"
    # A process that finds no database at its start may exit, for its supervisor to restart it.
    may_end = frozenset({"worker", "dispatcher", "auditor", "web"})

    def inject(self, field: Field) -> list[float]:
        stack = field.stack
        stack.servers.stop_postgres(signal.SIGINT)
        for process in [*stack.workers, *stack.dispatchers]:
            process.kill()
        stack.keep()
        field.wait(8.0, 10.0)
        stack.servers.start_postgres()
        return [field.fresh_start(time.time())]


class AllStopped(SpanRow):
    id, fault = "W12", "all dispatchers and workers stopped by SIGSTOP for 20 s, longer than a lease, then continued"
    shape = Shape(dispatchers=2)
    held_seconds = (20.0, 20.0)

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        stopped = [*field.stack.dispatchers, *field.stack.workers]
        for process in stopped:
            pause(process)
        try:
            yield
        finally:
            for process in stopped:
                resume(process)


class PipeFull(SpanRow):
    id, fault = "W14", "an additional worker and dispatcher log to a pipe without a reader, for 15 s"
    bound_seconds, measured = 15.0, HEALED
    held_seconds = (15.0, 15.0)

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        pipe = os.open(self._pipe(field), os.O_RDWR | os.O_NONBLOCK)
        try:
            while True:
                os.write(pipe, b"x" * 4096)
        except BlockingIOError:
            pass
        processes = [field.stack.begin_separate("run_worker", "--pool=default", "--slots=2", log=self._pipe(field))]
        processes.append(field.stack.begin_separate("dispatch_jobs", log=self._pipe(field)))
        try:
            yield
        finally:
            for process in processes:
                process.kill()
            os.close(pipe)

    def _pipe(self, field: Field) -> str:
        path = field.stack.folder / "unread.pipe"
        if not path.exists():
            os.mkfifo(path)
        return str(path)


class WrongMasterKey(SpanRow):
    id, fault = "W16", "all workers run with another master key for 10 s, then with the right one"
    bound_seconds, measured = 15.0, "from the right key until a job submitted then begins; postponed ones complete"
    minutes = 2.5
    # Without the right key, values encrypted by its processes could not be decrypted afterwards.
    is_shared = False
    RIGHT, WRONG = ({"ENCRYPTION_MASTER_KEYS": b64encode(letter * 32).decode()} for letter in (b"r", b"w"))
    shape = Shape(workers=1, slots=4, environment={"web": RIGHT, "dispatcher": RIGHT, "worker": RIGHT})

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        environment = field.stack.environment["worker"]
        before = int(field.view.number(_POSTPONED))
        environment |= self.WRONG
        self._replace(field)
        # Until now no worker ran with the wrong key.
        field.fault_at = time.time()
        try:
            yield
            field.await_effect(
                lambda: field.view.number(_POSTPONED) > before, "no job was postponed", lambda: field.wait(1.0, 1.0)
            )
        finally:
            environment |= self.RIGHT
            self._replace(field)

    def _replace(self, field: Field) -> None:
        for worker in field.stack.workers:
            worker.kill()
        field.stack.until(
            lambda: all(worker.is_running and is_ready(worker) for worker in field.stack.workers),
            within=150,
            what="the workers are ready",
        )


class FilesLimited(SpanRow):
    id, fault = "W22", "a worker and its children are limited to half of their open files, for 10 s"
    bound_seconds = 30.0
    # It may exit, for its supervisor to restart it.
    may_end = frozenset({"worker"})

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        worker = field.rng.choice(field.stack.workers)
        limited = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in [worker.pid, *worker.children()]}
        for pid, (_, hard) in limited.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(list(Path(FILES.format(pid)).iterdir())) // 2, hard))
        try:
            yield
        finally:
            for pid, limits in limited.items():
                if worker.is_running and Path(f"/proc/{pid}").exists():
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


class OldBuild(Row):
    id, fault = "W23", "one of two workers is of a build that lacks the kind of most jobs"
    bound_seconds, measured = 10.0, "the longest time without a start in 15 s; no attempt is counted"
    shape = Shape(workers=2, environment={"worker 1": {OLD_BUILD_VARIABLE: "1"}})

    def inject(self, field: Field) -> list[float]:
        if not field.view.number(_KINDS):
            field.violations.append("every worker has the kind: the row is inconclusive")
        began_at = time.time()
        field.wait(15.0, 15.0)
        starts = [float(at) for (at,) in field.view.rows(_STARTS, [began_at])]
        return [max(later - earlier for earlier, later in pairwise([began_at, *starts, time.time()]))]


class ArbiterKilled(Row):
    id, fault = "D21", "kill -9 of gunicorn's arbiter alone, three times: its children are left behind"
    bound_seconds, measured = 30.0, "from the kill until a job submitted then is accepted and begins"
    # The next one finds the port in use until the children have noticed, and is restarted.
    may_end = frozenset({"web"})

    def inject(self, field: Field) -> list[float]:
        return [self._kill(field) for _ in range(3)]

    def _kill(self, field: Field) -> float:
        field.wait(0.5, 2.0)
        web = field.stack.web
        assert web is not None
        killed_at = time.time()
        web.kill_alone()
        return field.fresh_start(killed_at)


class TimeZones(Row):
    id, fault = "C21", "each role and the database in different time zones, 25 h apart"
    bound_seconds, measured = 5.0, "from the requested time of a job to its start; none early"
    shape = Shape(
        environment={
            "web": {"TZ": "Pacific/Kiritimati"},
            "dispatcher": {"TZ": "Pacific/Pago_Pago"},
            "worker": {"TZ": "America/St_Johns"},
        }
    )

    def inject(self, field: Field) -> list[float]:
        run_and_cut_off(field, f"ALTER DATABASE {DATABASE} SET timezone = 'Asia/Kathmandu'")
        asked = []
        for _ in range(6):
            run_at = datetime.now(UTC) + timedelta(seconds=field.rng.uniform(4.0, 9.0))
            payload = {"steps": 1, "seconds": 0.1}
            request = field.client.prepare(field.tenants[2], "chaos_steps", payload, run_at=run_at)
            field.stack.until(
                lambda request=request: field.client.send(request).status in ACCEPTED,
                within=field.patience_seconds,
                what="it is accepted",
            )
            asked.append((field.job_of(request), run_at.timestamp()))
        return [field.all_started([job_id], run_at) for job_id, run_at in asked]


class ForeignConsumer(SpanRow):
    id, fault = "W15", "a Celery worker of another application reads a queue of the platform for 12 s"
    bound_seconds = 20.0
    held_seconds = (12.0, 12.0)
    minutes = 2.0

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        foreign = field.stack.begin_foreign(
            "worker",
            f"--queues={QUEUE}",
            "--concurrency=2",
            "--loglevel=INFO",
            # The stack's user of Redis may not publish to other processes.
            "--without-mingle",
            "--without-gossip",
            app="tests.acceptance.foreign_app",
        )
        try:
            field.stack.until(lambda: " ready." in foreign.log, within=START_SECONDS, what="it reads")
            field.fault_at = time.time()
            yield
            field.await_effect(
                lambda: "message.returned" in foreign.log,
                "the foreign worker got no message",
                lambda: field.wait(1.0, 1.0),
            )
        finally:
            foreign.kill()


ROWS = (
    AllStopped,
    PipeFull,
    ForeignConsumer,
    WrongMasterKey,
    WorkerWithoutDatabase,
    FilesLimited,
    OldBuild,
    EverythingReplaced,
    DispatcherWithoutBroker,
    TimeZones,
    ArbiterKilled,
)
