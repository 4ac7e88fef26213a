"""Kills of PostgreSQL's processes, and of a pooler in front of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import ClassVar

import psycopg

from tests.acceptance.pooler import PROGRAM, Pooler, running_pooler
from tests.acceptance.proxy import Pair, Tap
from tests.chaos.row import Field, Row
from tests.chaos.rows.databases import CommitDropper
from tests.chaos.spans import HEALED, ROLES, ProxiedRow
from tests.chaos.stack import Shape, Stack

_BACKEND = "SELECT pid FROM pg_stat_activity WHERE client_port = %s"
POOL_SIZE = 8


class PostmasterKilled(Row):
    id, fault = "P11", "kill -9 of PostgreSQL's postmaster, up again after up to 3 s"
    bound_seconds, measured = 15.0, HEALED

    def inject(self, field: Field) -> list[float]:
        field.wait(0.0, 2.0)
        field.stack.servers.stop_postgres(signal.SIGKILL)
        field.wait(1.0, 3.0)
        field.stack.servers.start_postgres()
        return [field.fresh_start(time.time())]


def _do_nothing(_pair: Pair) -> None:
    """Stand in until a row sets its act."""


class CommitWatcher:
    """Tap that calls back once, with the connection that sends a COMMIT, before the COMMIT is passed on."""

    def __init__(self) -> None:
        self._armed = threading.Event()
        self.done = threading.Event()
        self.act: Callable[[Pair], None] = _do_nothing

    def arm(self) -> None:
        self.done.clear()
        self._armed.set()

    def __call__(self, pair: Pair, is_reply: bool, data: bytes) -> bool:
        if not is_reply and CommitDropper.MARK in data and self._armed.is_set():
            self._armed.clear()
            self.act(pair)
            self.done.set()
        return True


class WatchedCommitRow(ProxiedRow):
    """Row in which a process dies several times at the moment a COMMIT is passed on."""

    times: ClassVar[int] = 4

    def tap(self) -> Tap:
        self.watcher = CommitWatcher()
        return self.watcher

    def inject(self, field: Field) -> list[float]:
        return [self._die(field) for _ in range(self.times)]

    def _die(self, field: Field) -> float:
        field.wait(0.0, 1.0)
        self.watcher.act = lambda pair: self.kill(field, pair)
        self.watcher.arm()
        field.stack.until(self.watcher.done.is_set, within=field.patience_seconds, what="a COMMIT is seen")
        return field.fresh_start(time.time())

    @abstractmethod
    def kill(self, field: Field, pair: Pair) -> None:
        """Kill the target of the row; called in the thread that passes the COMMIT on."""

    def hold(self, field: Field) -> AbstractContextManager[object]:
        """Return an empty context: each fault ends at once."""
        return nullcontext()


class BackendKilled(WatchedCommitRow):
    id, fault = "P12", "kill -9 of the backend that gets a COMMIT, four times: PostgreSQL restarts as after a crash"
    bound_seconds = 30.0

    def kill(self, field: Field, pair: Pair) -> None:
        with psycopg.connect(field.stack.addresses.admin_url) as connection:
            found = connection.execute(_BACKEND, [pair.far.getsockname()[1]]).fetchone()
        if found is not None:
            with suppress(ProcessLookupError):
                os.kill(found[0], signal.SIGKILL)


class WorkerKilledAtCommit(WatchedCommitRow):
    id, fault = "W13", "kill -9 of the only worker and its children as a COMMIT of theirs is passed on, twice"
    # A lease, and the start of another worker.
    bound_seconds = 45.0
    shape = Shape(workers=1, slots=3)
    roles = ("worker",)
    times = 2
    minutes = 2.0

    def kill(self, field: Field, pair: Pair) -> None:
        for worker in field.stack.workers:
            worker.kill()


class PoolerRestarted(Row):
    id, fault = "P21", "PgBouncer in transaction mode before PostgreSQL, killed and started again three times"
    bound_seconds, measured = 15.0, HEALED
    _pooler: Pooler | None = None

    @classmethod
    def unfit(cls) -> str:
        return "" if Path(PROGRAM).exists() else "PgBouncer is not installed (make pgbouncer)"

    def prepare(self, stack: Stack) -> None:
        self._running = running_pooler(stack.addresses.database_url(), pool_size=POOL_SIZE)
        self._pooler = self._running.__enter__()
        for role in ROLES:
            stack.environment[role] |= {"DATABASE_URL": self._pooler.url, "DATABASE_POOLED": "true"}

    def inject(self, field: Field) -> list[float]:
        return [self._restart(field) for _ in range(3)]

    def _restart(self, field: Field) -> float:
        assert self._pooler is not None
        field.wait(1.0, 3.0)
        self._pooler.kill()
        field.wait(0.5, 3.0)
        self._pooler.start()
        return field.fresh_start(time.time())

    def tear_down(self) -> None:
        if self._pooler is not None:
            self._running.__exit__(None, None, None)


ROWS = (PostmasterKilled, BackendKilled, WorkerKilledAtCommit, PoolerRestarted)
