"""Processes of a test that die at one of their statements: PostgreSQL rolls back what they have not committed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from scheduling.bulk.turns import open_operations, take_turn
from scheduling.compensation.duty import compensate
from scheduling.dispatch.tick import run_tick
from scheduling.execution import settlement_builders
from scheduling.execution.message import execute
from scheduling.execution.settlement import settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.batches.cancelling import tend_cancellations
from scheduling.jobs.batches.folding import fold_batches
from scheduling.models import (
    Batch,
    Circuit,
    Compensation,
    Job,
    JobDue,
    JobHeld,
    LiveExecution,
    OutboxMessage,
    Worker,
    WorkerPool,
)
from scheduling.outbox.relay import OutboxRelay
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants

ENDED = ("completed", "cancelled", "discarded", "quarantined")


class Killed(BaseException):
    """The end of a process."""


@dataclass
class Mortal:
    """A wrapper of statements that dies at one of them, before or after it has run, and runs none afterwards."""

    dies_at: int
    is_after: bool
    count: int = 0
    is_dead: bool = False

    def __call__(self, run: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        if self.is_dead:
            raise Killed
        self.count += 1
        if self.count != self.dies_at:
            return run(sql, params, many, context)
        if self.is_after:
            run(sql, params, many, context)
        self.is_dead = True
        raise Killed


@dataclass
class Platform:
    """Dispatchers and workers that take turns in one process, and die as often as a seed says."""

    registration: Registration
    chance: random.Random
    share: float = 0.7
    kills: int = 0
    relay: OutboxRelay = field(default_factory=OutboxRelay)
    local: LocalWorker | None = None

    def act(self, act: Callable[[], object], *, statements: int) -> None:
        """Run one process, which may die at one of its first statements."""
        mortal = Mortal(self.chance.randint(1, statements), self.chance.random() < 0.5)
        if self.chance.random() >= self.share:
            mortal.dies_at = 0
        is_replaced = True
        # A child that finds its transaction open ends itself.
        with suppress(Killed, SystemExit, asyncio.CancelledError), connection.execute_wrapper(mortal):
            act()
            is_replaced = False
        self.kills += mortal.is_dead
        if mortal.is_dead or is_replaced:
            connection.close()
            self.local = None
            self.rescue()

    def rescue(self) -> None:
        """Let the leases of what has started expire."""
        with all_tenants():
            started = list(LiveExecution.objects.filter(started_at__isnull=False))
        for live in started:
            crash = settlement_builders.crashed(
                live.pk, live.fence, crash_count=0, was_alone=False, cause="lease expired", is_lost=True
            )
            settle([crash])

    def work(self) -> None:
        """Execute one dispatched job."""
        with all_tenants():
            waiting = list(LiveExecution.objects.filter(started_at=None).values_list("pk", "token"))
        if waiting:
            execution_id, token = self.chance.choice(waiting)
            self.local = self.local or LocalWorker.of(self.registration)
            local = self.local
            run = lambda: execute(execution_ids=[execution_id], token=token, child_index=0, worker=local)  # noqa: E731
            self.act(run, statements=14)

    def dispatch(self) -> None:
        """Run a tick and each duty that moves batches, messages and compensations, in any order."""
        with all_tenants():
            pool = WorkerPool.objects.get(name="default").pk
            Worker.objects.update(heartbeat_at=Now())
            JobDue.objects.update(due_at=Now())
            OutboxMessage.objects.filter(state="pending").update(due_at=Now())
        duties: list[tuple[Callable[[], object], int]] = [
            (lambda: run_tick(pool), 30),
            (fold_batches, 6),
            (tend_cancellations, 6),
            (cancel_rest, 12),
            (compensate, 40),
            (self.relay.take_turn, 25),
        ]
        self.chance.shuffle(duties)
        for duty, statements in duties:
            self.act(duty, statements=statements)

    def is_busy(self) -> bool:
        """Return whether batches, jobs, messages or compensations are left."""
        with all_tenants():
            return (
                Batch.objects.filter(compensation_planned_at=None).exists()
                or Job.objects.exclude(state__in=ENDED).exists()
                or OutboxMessage.objects.filter(state="pending").exists()
                or Compensation.objects.filter(state__in=["pending", "running"]).exists()
            )

    def leftovers(self) -> str:
        """Return what is left to do, for the message of a failure."""
        with all_tenants():
            rows = {
                "jobs": Job.objects.exclude(state__in=ENDED).values_list("kind", "state", "error_message"),
                "held": JobHeld.objects.values_list("gate", flat=True),
                "live": LiveExecution.objects.values_list("kind", "started_at", "worker_id"),
                "circuits": Circuit.objects.values_list("kind", "dependency", "state"),
                "messages": OutboxMessage.objects.filter(state="pending").values_list("error", "delivery_job_id"),
                "compensations": Compensation.objects.exclude(state="compensated").values_list("state", "error"),
            }
            return str({name: list(found[:5]) for name, found in rows.items()})

    def run(self) -> None:
        """Go on until nothing is left to do, at last without deaths."""
        for _ in range(300):
            self.dispatch()
            self.work()
            if not self.is_busy():
                break
        share, self.share = self.share, 0.0
        for _ in range(60):
            self.dispatch()
            self.work()
            if not self.is_busy():
                break
        self.share = share
        assert not self.is_busy(), self.leftovers()


def cancel_rest() -> None:
    """Advance the operations that cancel the jobs of batches."""
    for operation_id in open_operations():
        take_turn(operation_id)
