"""What goes wrong in the middle: small injectors, in a seeded order that has every one of them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from django.db import connection

from benchmarks.processor import children_of
from benchmarks.soak.stack import Member, Stack

AWAY_SECONDS = 5.0
TERMINATIONS = 5
_TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE usename = current_user AND pid <> pg_backend_pid() AND datname = current_database()
    AND split_part(application_name, ' ', 1) IN ('web', 'dispatcher', 'worker', 'maintenance', 'beat')
"""


@dataclass(frozen=True, slots=True)
class Healed:
    """A fault that is over: its name, and when it was, by the clock that the database reads too."""

    name: str
    at: float


@dataclass(slots=True)
class Faults:
    """Injects one fault after the other: all of them in one order, then all in another."""

    stack: Stack
    chance: random.Random
    _left: list[Callable[[], None]] = field(default_factory=list)

    def inject_next(self) -> Healed:
        """Do the next one, and heal it."""
        if not self._left:
            self._left = list(self._all())
            self.chance.shuffle(self._left)
        fault = self._left.pop()
        fault()
        return Healed(fault.__name__.replace("_", " "), time.time())

    def _all(self) -> Sequence[Callable[[], None]]:
        return (
            self.kill_worker,
            self.kill_child,
            self.kill_dispatcher,
            self.stop_dispatcher_and_continue,
            self.stop_worker_and_continue,
            self.restart_broker,
            self.flush_broker,
            self.terminate_backends,
            self.deploy_worker,
            self.replace_workers_one_by_one,
            self.deploy_web,
            self.kill_web_child,
        )

    def kill_worker(self) -> None:
        member = self._some("worker")
        self.stack.kill(member)
        self.stack.start(member)

    def kill_child(self) -> None:
        self._kill_child_of(self._some("worker"))

    def kill_dispatcher(self) -> None:
        member = self._some("dispatcher")
        self.stack.kill(member)
        self.stack.start(member)

    def stop_dispatcher_and_continue(self) -> None:
        self._hold([self._some("dispatcher").pid])

    def stop_worker_and_continue(self) -> None:
        """For longer than a lease: what comes back is a zombie."""
        member = self._some("worker")
        self._hold([member.pid, *children_of(member.pid)], seconds=12.0)

    def restart_broker(self) -> None:
        self.stack.broker.kill()
        time.sleep(AWAY_SECONDS)
        self.stack.broker.start()

    def flush_broker(self) -> None:
        self.stack.broker.empty()

    def terminate_backends(self) -> None:
        for _ in range(TERMINATIONS):
            with connection.cursor() as cursor:
                cursor.execute(_TERMINATE)
            time.sleep(1.0)

    def deploy_worker(self) -> None:
        member = self._some("worker")
        self.stack.stop(member)
        self.stack.start(member)

    def replace_workers_one_by_one(self) -> None:
        """As the runbook says: the new one first."""
        for member in [*self.stack.of_role("worker"), *self.stack.of_role("maintenance")]:
            self.stack.replace(member)

    def deploy_web(self) -> None:
        member = self._some("web")
        self.stack.stop(member)
        self.stack.start(member)

    def kill_web_child(self) -> None:
        self._kill_child_of(self._some("web"))

    def _some(self, role: str) -> Member:
        return self.chance.choice(self.stack.of_role(role))

    def _kill_child_of(self, member: Member) -> None:
        if children := children_of(member.pid):
            with suppress(ProcessLookupError):
                os.kill(self.chance.choice(children), signal.SIGKILL)

    def _hold(self, pids: Sequence[int], *, seconds: float = AWAY_SECONDS) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        for pid in reversed(pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
