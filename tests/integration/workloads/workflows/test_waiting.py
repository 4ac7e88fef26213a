"""Runs that wait for a model, in the slots of one process of coroutines: they hold no connection, and go on at once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from scheduling.models import Job, LiveExecution, Worker
from scheduling.worker.control_block import Cause, ControlBlock
from scheduling.worker.io.running import Slots
from scheduling.worker.io.state import ProcessState, shared_states
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.workloads.workflows.conftest import Runs, dispatch, nodes_of, outcomes, reload
from tests.model_server import ModelServer, echo
from tests.unit.workloads.workflows.definitions import node, workflow
from workloads.workflows.models import Approval
from workloads.workflows.runs import decide_approval

pytestmark = pytest.mark.django_db(transaction=True)

RUNS = 30
LANES = 2
SOON_SECONDS = 20.0
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()"

type Meanwhile = Callable[[ControlBlock, ProcessState], Coroutine[Any, Any, object]]
type RunAtOnce = Callable[[Sequence[Job], Meanwhile], None]


@pytest.fixture
def slow(model: ModelServer) -> Iterator[threading.Event]:
    """Let the model answer prompts that begin with "slow" once the event is set."""
    released = threading.Event()

    def reply(body: Any) -> str:
        if body["messages"][-1]["content"].startswith("slow"):
            released.wait(60)
        return echo(body)

    model.reply = reply
    yield released
    released.set()


@pytest.fixture
def run_at_once(local: LocalWorker) -> RunAtOnce:
    """Run jobs at once in one process; ``meanwhile`` acts on its seats."""

    def run(jobs: Sequence[Job], meanwhile: Meanwhile) -> None:
        worker = replace(local, block=ControlBlock(len(jobs)))
        (state,) = shared_states(1)
        with all_tenants():
            Tenant.objects.update(max_concurrency=len(jobs))
            Worker.objects.update(slots=len(jobs))
            while LiveExecution.objects.count() < len(jobs):
                dispatch()
            messages = list(LiveExecution.objects.values_list("id", "token"))

        async def main() -> None:
            async with Slots(worker, state, lanes=LANES, on_settled=lambda seats: None) as slots:
                for seat, (execution_id, token) in enumerate(messages):
                    slots.take(seat, token, [execution_id])
                await meanwhile(worker.block, state)
                assert await slots.drain(SOON_SECONDS)

        asyncio.run(main())
        assert list(worker.block.held_slots()) == []
        assert faults_of("ledger", "executions") == []

    return run


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        while not condition():  # noqa: ASYNC110 - shared memory and the model's thread wake no loop
            await asyncio.sleep(0.01)


async def in_thread[T](act: Callable[[], T]) -> T:
    """Use the database in a thread that keeps no connection."""

    def call() -> T:
        try:
            return act()
        finally:
            connection.close()

    return await asyncio.to_thread(call)


def ask(name: str, prompt: str = "", **fields: Any) -> dict[str, Any]:
    return node(name, "llm", prompt=prompt or name, **fields)


def test_waiting_runs_hold_no_connection_and_end_soon_after(
    runs: Runs, run_at_once: RunAtOnce, acme: Tenant, globex: Tenant, model: ModelServer, slow: threading.Event
) -> None:
    definition = workflow(ask("slow"), outputs={"answer": {"ref": "nodes.slow.text"}})
    jobs = [runs.start(tenant, definition) for tenant in (acme, globex) for _ in range(RUNS // 2)]

    def count_transactions() -> int:
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute(SESSIONS)
            return int(cursor.fetchone()[0])

    async def wait_for_all(block: ControlBlock, state: ProcessState) -> None:
        await until(lambda: len(model.prompts) == RUNS and not any(state.lane_seats))
        assert len(list(block.held_slots())) == RUNS
        assert await in_thread(count_transactions) == 0
        assert not any(state.lane_seats)
        slow.set()

    run_at_once(jobs, wait_for_all)
    ended = [reload(job) for job in jobs]
    assert {(job.state, job.result["outputs"]["answer"]) for job in ended} == {("completed", "You said: slow")}
    assert Counter(row.tenant_id for job in jobs for row in [*nodes_of(job).values()]) == {
        tenant.pk: 3 * RUNS // 2 for tenant in (acme, globex)
    }


def test_cancelled_run_does_not_wait_for_its_model(
    runs: Runs, run_at_once: RunAtOnce, acme: Tenant, model: ModelServer, slow: threading.Event
) -> None:
    job = runs.start(acme, workflow(ask("slow")))

    async def cancel(block: ControlBlock, state: ProcessState) -> None:
        await until(lambda: model.prompts)
        (held,) = block.held_slots()
        block.ask(held, Cause.CANCEL)
        await until(lambda: not list(block.held_slots()))
        assert not slow.is_set()

    run_at_once([job], cancel)
    assert (reload(job).state, outcomes(job)) == ("cancelled", ["cancelled"])


def test_run_that_is_to_yield_keeps_the_results_of_its_nodes(
    runs: Runs, run_at_once: RunAtOnce, acme: Tenant, model: ModelServer, slow: threading.Event
) -> None:
    job = runs.start(acme, workflow(ask("first", "slow"), ask("next")))

    async def request_yield(block: ControlBlock, state: ProcessState) -> None:
        await until(lambda: model.prompts)
        (held,) = block.held_slots()
        block.request_yield(held, is_requested=True)
        slow.set()

    run_at_once([job], request_yield)
    assert outcomes(job) == ["yielded"]
    assert nodes_of(job)["first"].state == "succeeded"
    assert model.prompts == ["slow"]
    assert runs.go(job).state == "completed"
    assert model.prompts == ["slow", "next"]


def test_delay_ends_while_another_node_waits(
    runs: Runs, run_at_once: RunAtOnce, acme: Tenant, model: ModelServer, slow: threading.Event
) -> None:
    ways = ["start > slow > end", "start > pause > after > end"]
    job = runs.start(acme, workflow(ask("slow"), node("pause", "delay", seconds=0.3), ask("after"), ways=ways))

    async def release(block: ControlBlock, state: ProcessState) -> None:
        await until(lambda: "after" in model.prompts)
        slow.set()

    run_at_once([job], release)
    assert (reload(job).state, outcomes(job)) == ("completed", ["completed"])


def test_decision_is_taken_while_another_node_waits(
    runs: Runs, run_at_once: RunAtOnce, acme: Tenant, model: ModelServer, slow: threading.Event
) -> None:
    ways = ["start > slow > end", "start > ok", "ok approved> after", "ok rejected> end", "after > end"]
    approval = node("ok", "approval", title="May it go on?")
    job = runs.start(acme, workflow(ask("slow"), approval, ask("after"), ways=ways))

    def decide() -> bool:
        with tenant_context(acme):
            asked = Approval.objects.first()
            if asked is not None:
                decide_approval(approval_id=asked.pk, is_approved=True)
        return asked is not None

    async def approve(block: ControlBlock, state: ProcessState) -> None:
        await until(lambda: model.prompts)
        assert await in_thread(decide)
        await until(lambda: "after" in model.prompts)
        slow.set()

    run_at_once([job], approve)
    assert (reload(job).state, outcomes(job)) == ("completed", ["completed"])
