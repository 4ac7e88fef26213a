"""Two tenants in one event loop: no execution sees, writes or logs anything of another, whatever their interleaving.

Each execution runs random scripts; errors and cancellations come at random steps. The scripts find planted defects.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from dataclasses import replace
from typing import Any

import pytest
import structlog
from asgiref.sync import ThreadSensitiveContext
from django.db import connection, transaction

from scheduling.execution import settling
from scheduling.kit.base import AsyncJobContext
from scheduling.models import Batch, Job, JobLog
from scheduling.worker.control_block import Cause, ControlBlock
from scheduling.worker.io import lanes, running
from scheduling.worker.io.running import Slots
from scheduling.worker.io.state import ProcessState, shared_states
from scheduling.worker.io.stepping import task_factory
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.worker.conftest import DispatchAlone

pytestmark = pytest.mark.django_db(transaction=True)

type RunScripts = Callable[..., list[str]]
COROUTINES = 200
LANES = 3
plugin_logger = logging.getLogger(__name__)
SESSION = """
SELECT current_setting('app.tenant_id', true), current_user::text = session_user::text,
    (SELECT count(*) FROM scheduling_batch WHERE tenant_id = %s)
"""


class Scripts:
    """The random scripts of one execution, and what they found wrong."""

    def __init__(self, context: AsyncJobContext, other: Tenant, seed: str, wrong: list[str], threads: set[int]) -> None:
        self.context = context
        self.other = other
        self.draw = random.Random(seed)
        self.wrong = wrong
        self.threads = threads
        self.own = f"{context.tenant_id}/{context.job_id}"
        # Writes that were begun, and those of them that were committed for certain.
        self.begun = self.committed = 0

    def check(self, is_right: bool, what: str) -> None:
        if not is_right:
            self.wrong.append(f"{self.own}: {what}")

    def look(self) -> None:
        """Check what the connection of the block shows."""
        with connection.cursor() as cursor:
            cursor.execute(SESSION, [self.other.pk])
            tenant_id, is_own_role, foreign = cursor.fetchone()
        self.threads.add(threading.get_ident())
        self.check(tenant_id == str(self.context.tenant_id), f"the session's tenant is {tenant_id!r}")
        self.check(is_own_role, "the session has another role")
        self.check(foreign == 0, f"{foreign} foreign rows")

    def note(self) -> Batch:
        return Batch.objects.create(label=self.own, kind="noop", total=1)

    async def run(self, depth: int = 0) -> None:
        for _ in range(self.draw.randint(3, 6)):
            await self.step(depth)
            self.check(structlog.contextvars.get_contextvars()["job_id"] == str(self.context.job_id), "foreign ids")

    async def step(self, depth: int) -> None:
        steps = [self.read, self.write, self.checkpoint, self.nest, self.say, self.fail, self.leave_open, self.pause]
        if depth < 2:
            steps += [self.cut_short, self.tasks]
        await self.draw.choice(steps)(depth)

    async def read(self, depth: int) -> None:
        async with self.context.database():
            await self.context.run(self.look)
            owners = {row.tenant_id async for row in Batch.objects.all()[:20]}
        self.check(owners <= {self.context.tenant_id}, f"rows of {owners}")

    async def write(self, depth: int) -> None:
        self.begun += 1
        async with self.context.database():
            await Batch.objects.acreate(label=self.own, kind="noop", total=1)
            await self.context.run(self.look)
        self.committed += 1

    async def checkpoint(self, depth: int) -> None:
        self.begun += 1
        await self.context.checkpoint({"own": self.own}, self.note)
        self.committed += 1

    async def nest(self, depth: int) -> None:
        async with self.context.database():
            with suppress(ZeroDivisionError):
                async with self.context.database():
                    await Batch.objects.acreate(label="rolled back", kind="noop", total=1)
                    await self.context.run(self.look)
                    raise ZeroDivisionError
            await self.context.run(self.look)

    async def say(self, depth: int) -> None:
        self.context.log(self.own)
        plugin_logger.warning(self.own)
        await self.context.report_progress(1, 2, self.own)

    async def fail(self, depth: int) -> None:
        with suppress(ZeroDivisionError):
            async with self.context.database():
                await Batch.objects.acreate(label="rolled back", kind="noop", total=1)
                raise ZeroDivisionError

    async def leave_open(self, depth: int) -> None:
        """Leave a transaction with settings of this tenant in the connection, as a defect of a plug-in does."""

        def begin() -> None:
            transaction.set_autocommit(False)
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('app.tenant_id', %s, true)", [str(self.context.tenant_id)])

        if self.draw.random() < 0.2:
            await self.context.run(begin)

    async def pause(self, depth: int) -> None:
        await asyncio.sleep(self.draw.choice([0, 0, self.draw.random() / 500]))

    async def cut_short(self, depth: int) -> None:
        """Cancel a script at a random step."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.draw.random() / 50):
                await self.run(depth + 1)

    async def tasks(self, depth: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(self.step(depth + 1))


@pytest.fixture
def run_scripts(
    acme: Tenant, globex: Tenant, local: LocalWorker, dispatch_alone: DispatchAlone, set_processor: Callable[..., None]
) -> RunScripts:
    """Run the scripts of so many executions at once; return what is wrong afterwards."""

    def run(coroutines: int, *, scripts: int, seed: int) -> list[str]:
        wrong: list[str] = []
        threads: set[int] = set()
        ran: list[Scripts] = []
        jobs = [job for tenant in (acme, globex) for job in submit(tenant, coroutines // 2, kind="scripted_coroutine")]
        random.Random(seed).shuffle(jobs)
        seeds = {job.pk: f"{seed}/{place}" for place, job in enumerate(jobs)}

        async def process(context: AsyncJobContext) -> None:
            other = globex if context.tenant_id == acme.pk else acme
            own = Scripts(context, other, seeds[context.job_id], wrong, threads)
            ran.append(own)
            for _ in range(scripts):
                await own.run()

        set_processor(process)
        worker = replace(local, block=ControlBlock(coroutines))
        asyncio.run(run_and_cancel_some(worker, dispatch_alone(jobs), seed, wrong))
        # A block that was never left would close here, which is an error of the test.
        gc.collect()
        # Some may be cancelled before their first step.
        assert len(ran) > coroutines // 2
        if len(threads) > LANES:
            wrong.append(f"{len(threads)} connections")
        return wrong + wrong_jobs(jobs) + wrong_rows(ran) + wrong_lines()

    return run


async def run_and_cancel_some(worker: LocalWorker, messages: Sequence[Any], seed: int, wrong: list[str]) -> None:
    """Run executions at once, and cancel some of them at random times from outside."""
    draw = random.Random(seed)
    freed: list[int] = []
    (state,) = shared_states(1)
    async with Slots(worker, state, lanes=LANES, on_settled=freed.extend) as slots:
        for seat, (execution_id, token) in enumerate(messages):
            slots.take(seat, token, [execution_id])
        while len(slots) > len(messages) // 2:
            slots.interrupt(draw.randrange(len(messages)), Cause.CANCEL)
            await asyncio.sleep(draw.random() / 5)
        if not await slots.drain(300):
            wrong.append(f"{len(slots)} executions do not end")
    if sorted(freed) != list(range(len(messages))) or any(state.lane_seats) or any(worker.block.held_slots()):
        wrong.append("seats or connections are still in use")


def wrong_jobs(jobs: Sequence[Job]) -> list[str]:
    with all_tenants():
        ended = Job.objects.filter(pk__in=[job.pk for job in jobs]).exclude(state__in=["completed", "cancelled"])
        return [f"{job.pk}: {job.state} {job.error_type} {job.error_message}" for job in ended]


def wrong_rows(ran: Sequence[Scripts]) -> list[str]:
    wrong = []
    for own in ran:
        with tenant_context(own.context.tenant_id):
            found = Batch.objects.filter(label=own.own).count()
        if not own.committed <= found <= own.begun:
            wrong.append(f"{own.own}: {found} rows, {own.committed} committed, {own.begun} begun")
    with all_tenants():
        rows = Batch.objects.values_list("label", "tenant_id")
        return wrong + [f"{label} of {tenant}" for label, tenant in rows if not label.startswith(f"{tenant}/")]


def wrong_lines() -> list[str]:
    with all_tenants():
        lines = JobLog.objects.filter(message__contains="/").values_list("tenant_id", "job_id", "message")
        return [f"{message} in {job}" for tenant, job, message in lines if message != f"{tenant}/{job}"]


@pytest.mark.parametrize("scripts", [5, pytest.param(25, marks=pytest.mark.slow)])
def test_executions_of_two_tenants_stay_apart(run_scripts: RunScripts, scripts: int) -> None:
    assert run_scripts(COROUTINES, scripts=scripts, seed=scripts) == []
    with all_tenants():
        assert JobLog.objects.exists()


def without_cleaning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lend a connection with the transaction that its last borrower left open."""
    monkeypatch.setattr(lanes, "drop_open_transaction", lambda: False)
    monkeypatch.setattr(lanes, "check_connection", lambda: None)


def close_own() -> None:
    connection.close()


def one_connection_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lend a connection to a second execution before the first has given it back."""

    class Shared(lanes.LanePool):
        @asynccontextmanager
        async def borrow(self, index: int) -> AsyncIterator[int]:
            async with ThreadSensitiveContext(executor=executor):
                yield await asyncio.wrap_future(executor.submit(threading.get_ident))

        async def close(self) -> None:
            await asyncio.wrap_future(executor.submit(close_own))
            executor.shutdown()
            await super().close()

    executor = ThreadPoolExecutor(1)
    monkeypatch.setattr(running, "LanePool", Shared)


def one_context_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run all executions in one context."""
    shared = Context()

    def factory(state: ProcessState) -> Callable[..., asyncio.Task[Any]]:
        create = task_factory(state)
        return lambda loop, coroutine, **options: create(loop, coroutine, **{**options, "context": shared})

    monkeypatch.setattr(running, "task_factory", factory)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("plant", [without_cleaning, one_connection_for_all, one_context_for_all])
def test_planted_defect_is_found(
    run_scripts: RunScripts, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    # Transactions that a defect leaves open lock rows of settlements.
    monkeypatch.setattr(settling, "SETTLE_PATIENCE_SECONDS", 0.5)
    # Which scripts meet depends on the pace of the machine: a few rounds, each with other scripts, until one finds it.
    assert any(run_scripts(12, scripts=3, seed=seed) for seed in range(1, 11))
