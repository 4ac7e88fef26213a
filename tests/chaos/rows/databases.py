"""PostgreSQL that restarts, loses sessions, or commits without a response."""

from __future__ import annotations

import random
import signal
import time

from scheduling.worker.watchdog import EXIT_STATUS
from tests.acceptance.proxy import Pair, Proxy
from tests.chaos.load import Traffic
from tests.chaos.row import Field, Row
from tests.chaos.servers import HOST
from tests.chaos.stack import Shape, Stack

_TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = 'jobs_app' AND backend_type = 'client backend' ORDER BY random() LIMIT 1
"""
ROLES = ("web", "dispatcher", "worker")


class DatabaseRestarted(Row):
    id, fault = "P1", "PostgreSQL restarted, fast or at once as in a crash"
    bound_seconds, measured = 15.0, "from its return until a job submitted then is accepted and begins"

    def inject(self, field: Field) -> list[float]:
        field.wait(0.0, 2.0)
        field.stack.servers.stop_postgres(field.rng.choice([signal.SIGINT, signal.SIGQUIT]))
        field.wait(0.0, 4.0)
        field.stack.servers.start_postgres()
        return [field.fresh_start(time.time())]


class SessionsTerminated(Row):
    id, fault = "P2", "a session of the platform's terminated each second, for 15 s"
    bound_seconds, measured = 15.0, "from the last of them until a job submitted then begins"
    ROUNDS = 15

    def inject(self, field: Field) -> list[float]:
        for _ in range(self.ROUNDS):
            field.wait(0.5, 1.5)
            field.view.rows(_TERMINATE)
        return [field.fresh_start(time.time())]


class CommitDropper:
    """Tap that passes a COMMIT to the server and drops its response: the client's connection ends instead."""

    MARK = b"COMMIT\0"

    def __init__(self) -> None:
        self.part = 0.0
        self.dropped = 0
        self._rng = random.Random()
        self._doomed: set[Pair] = set()

    def begin(self, part: float, rng: random.Random) -> None:
        """Drop this part of the responses from now on."""
        self._rng = random.Random(rng.random())
        self.part = part

    def end(self) -> None:
        self.part = 0.0

    def is_meant(self, pair: Pair, data: bytes) -> bool:
        """Return whether the response to what a client sends may be dropped."""
        return self.MARK in data

    def __call__(self, pair: Pair, is_reply: bool, data: bytes) -> bool:
        if not is_reply:
            if self.is_meant(pair, data) and self.part and self._rng.random() < self.part:
                self._doomed.add(pair)
            return True
        if pair not in self._doomed:
            return True
        self._doomed.discard(pair)
        self.dropped += 1
        return False


class CommitUnanswered(Row):
    id, fault = "P3", "the responses to a tenth of all COMMITs of web, dispatcher and workers dropped, for 15 s"
    bound_seconds, measured = 15.0, "from the last of them until a job submitted then begins; one job a key"
    PART = 0.1
    proxy: Proxy | None = None

    def prepare(self, stack: Stack) -> None:
        self.dropper = CommitDropper()
        self.proxy = Proxy((HOST, stack.addresses.postgres_port), tap=self.dropper)
        for role in ROLES:
            stack.environment[role]["DATABASE_URL"] = stack.addresses.database_url(port=self.proxy.port)

    def inject(self, field: Field) -> list[float]:
        before = self.dropper.dropped
        self.dropper.begin(self.PART, field.rng)
        field.wait(14.0, 16.0)
        field.await_effect(
            lambda: self.dropper.dropped > before, "no response to a COMMIT was dropped", lambda: field.wait(1.0, 1.0)
        )
        self.dropper.end()
        ended_at = time.time()
        return [field.fresh_start(ended_at)]

    def tear_down(self) -> None:
        if self.proxy is not None:
            self.proxy.close()


class SessionsHalfOpen(Row):
    id, fault = "P4", "all sessions of both dispatchers half-open; new connections work"
    minutes = 2.5
    bound_seconds, measured = 60.0, "until a job submitted then begins; each dispatcher exits by its watchdog"
    shape = Shape(workers=1, slots=2, dispatchers=2)
    traffic = None
    may_end = frozenset({"dispatcher"})
    proxy: Proxy | None = None

    def prepare(self, stack: Stack) -> None:
        self.proxy = Proxy((HOST, stack.addresses.postgres_port))
        stack.environment["dispatcher"]["DATABASE_URL"] = stack.addresses.database_url(port=self.proxy.port)

    def inject(self, field: Field) -> list[float]:
        field.ended([field.job_of(field.submit(0, "chaos_steps", {"steps": 1}))], within=field.patience_seconds)
        field.wait(0.0, 5.0)
        assert self.proxy is not None
        before = list(field.stack.dispatchers)
        self.proxy.freeze()
        frozen_at = time.time()
        recovery = field.all_started([field.job_of(field.submit(0, "chaos_steps", {"steps": 1}))], frozen_at)
        statuses = [dispatcher.wait() for dispatcher in before]
        if statuses != [EXIT_STATUS] * len(before):
            field.violations.append(f"the dispatchers ended with {statuses}, not by their watchdogs")
        return [recovery]

    def tear_down(self) -> None:
        if self.proxy is not None:
            self.proxy.close()


class DatabaseAway(Row):
    id, fault = "P5", "PostgreSQL down for 90 s, while liveness probes run"
    minutes = 3.0
    bound_seconds, measured = (
        15.0,
        "from its return until a job submitted then begins; no probe fails, no process restarts",
    )
    seeds = 1
    AWAY_SECONDS = 90.0
    drain_seconds = 240.0
    traffic = Traffic(per_second=2.0)

    def inject(self, field: Field) -> list[float]:
        field.wait(0.0, 2.0)
        field.stack.servers.stop_postgres(signal.SIGINT)
        until = time.monotonic() + self.AWAY_SECONDS
        while time.monotonic() < until:
            field.violations += [words for role in ("worker", "dispatcher") if (words := field.stack.probe(role))]
            field.wait(4.0, 6.0)
        field.stack.servers.start_postgres()
        return [field.fresh_start(time.time())]


ROWS = (DatabaseRestarted, SessionsTerminated, CommitUnanswered, SessionsHalfOpen, DatabaseAway)
