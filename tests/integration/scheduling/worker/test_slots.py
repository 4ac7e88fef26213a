"""Executions in the slots of one process of coroutines: together, stopped from outside, and with defects."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from scheduling.execution.logs.queries import read_log
from scheduling.fleet.blocks import list_blocks
from scheduling.kit.base import AsyncJobContext
from scheduling.models import Batch, Execution, Job, JobEvent, Worker
from scheduling.worker.child_exit import ExitCause
from scheduling.worker.control_block import Cause, ControlBlock
from scheduling.worker.io import execution
from scheduling.worker.io.running import Slots
from scheduling.worker.io.state import ProcessState, shared_states
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import reload, submit
from tests.integration.scheduling.worker.conftest import DispatchAlone, ScriptedCoroutine, outcomes, raising

pytestmark = pytest.mark.django_db(transaction=True)

type Follow = Callable[..., None]
type Meanwhile = Callable[[Slots, LocalWorker, ProcessState], Coroutine[Any, Any, object]]
type Misbehave = Callable[[AsyncJobContext, threading.Event], Coroutine[Any, Any, object]]
type RunAtOnce = Callable[..., ProcessState]
KIND = "scripted_coroutine"


@pytest.fixture
def run_at_once(local: LocalWorker, dispatch_alone: DispatchAlone) -> RunAtOnce:
    """Run jobs at once in one process; ``meanwhile`` acts on its slots."""

    def run(jobs: list[Job], meanwhile: Meanwhile | None = None, lanes: int = 2, **options: float) -> ProcessState:
        worker = replace(local, block=ControlBlock(len(jobs)))
        messages = dispatch_alone(jobs)
        freed: list[int] = []
        (state,) = shared_states(1)

        async def main() -> None:
            async with Slots(worker, state, lanes=lanes, on_settled=freed.extend, **options) as slots:
                for seat, (execution_id, token) in enumerate(messages):
                    slots.take(seat, token, [execution_id])
                if meanwhile is not None:
                    await meanwhile(slots, worker, state)
                assert await slots.drain(30)

        asyncio.run(main())
        assert (sorted(freed), list(worker.block.held_slots())) == (list(range(len(jobs))), [])
        assert faults_of("ledger", "executions") == []
        return state

    return run


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - shared memory and tables wake no loop
            await asyncio.sleep(0.01)


async def for_ever() -> None:
    await asyncio.Event().wait()


def test_waiting_executions_run_together_and_few_statements_settle_them(
    acme: Tenant, run_at_once: RunAtOnce, set_processor: Follow
) -> None:
    waiting: list[object] = []
    everyone = asyncio.Event()

    async def process(context: AsyncJobContext) -> dict[str, int]:
        waiting.append(context.job_id)
        if len(waiting) == 60:
            everyone.set()
        await everyone.wait()
        return {"together": len(waiting)}

    set_processor(process)
    jobs = submit(acme, 60, kind=KIND)
    run_at_once(jobs)
    assert [(job.state, job.result) for job in map(reload, jobs)] == [("completed", {"together": 60})] * 60


def test_log_and_progress_are_visible_while_the_execution_waits(
    acme: Tenant, run_at_once: RunAtOnce, set_processor: Follow
) -> None:
    seen = asyncio.Event()

    async def process(context: AsyncJobContext) -> None:
        context.log("begun")
        await context.report_progress(1, 2, "half")
        await seen.wait()

    (job,) = submit(acme, kind=KIND)

    def is_visible() -> bool:
        with tenant_context(acme):
            return bool(read_log(job, limit=5).lines) and Job.objects.get(pk=job.pk).progress_message == "half"

    async def look(slots: Slots, worker: LocalWorker, state: ProcessState) -> None:
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(in_thread, is_visible):  # noqa: ASYNC110 - a table wakes no loop
                await asyncio.sleep(0.05)
        seen.set()

    set_processor(process)
    run_at_once([job], look)
    assert reload(job).state == "completed"


def test_output_is_visible_while_the_execution_waits_and_whole_at_its_end(
    acme: Tenant, run_at_once: RunAtOnce, set_processor: Follow
) -> None:
    seen = asyncio.Event()

    async def process(context: AsyncJobContext) -> None:
        context.stream("answer", "one ")
        await seen.wait()
        context.stream("answer", "two")

    (job,) = submit(acme, kind=KIND)

    def texts() -> list[str]:
        with tenant_context(acme):
            events = JobEvent.objects.filter(job_id=job.pk, name="job.output").order_by("id")
            return [event.data["text"] for event in events]

    async def look(slots: Slots, worker: LocalWorker, state: ProcessState) -> None:
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(in_thread, texts):  # noqa: ASYNC110 - a table wakes no loop
                await asyncio.sleep(0.05)
        seen.set()

    set_processor(process)
    run_at_once([job], look)
    assert (reload(job).state, texts()) == ("completed", ["one ", "two"])


def in_thread[T](act: Callable[[], T]) -> T:
    """Call ``act`` in a thread whose connection is closed afterwards."""
    try:
        return act()
    finally:
        connection.close()


def test_stop_returns_all_executions_without_an_attempt(
    acme: Tenant, run_at_once: RunAtOnce, set_processor: Follow
) -> None:
    begun: list[object] = []

    async def process(context: AsyncJobContext) -> None:
        begun.append(context.job_id)
        await for_ever()

    async def stop(slots: Slots, worker: LocalWorker, state: ProcessState) -> None:
        await until(lambda: len(begun) == 5)
        slots.stop()

    set_processor(process)
    jobs = submit(acme, 5, kind=KIND)
    run_at_once(jobs, stop)
    assert [(job.state, job.attempt) for job in map(reload, jobs)] == [("available", 0)] * 5
    assert {tuple(outcomes(job)) for job in jobs} == {("shutdown",)}


def test_execution_may_end_while_its_stopping_worker_is_patient(
    acme: Tenant, run_at_once: RunAtOnce, set_processor: Follow
) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def process(context: AsyncJobContext) -> None:
        begun.set()
        await release.wait()

    async def stop_worker(slots: Slots, worker: LocalWorker, state: ProcessState) -> None:
        await begun.wait()
        worker.block.stop()
        seen_ns = state.ticked_ns
        await until(lambda: state.ticked_ns > seen_ns)
        release.set()

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    run_at_once([job], stop_worker, patience_seconds=20.0)
    assert reload(job).state == "completed"


def test_request_in_the_control_block_ends_only_that_execution(
    acme: Tenant, run_at_once: RunAtOnce, set_processor: Follow
) -> None:
    release = asyncio.Event()

    async def process(context: AsyncJobContext) -> None:
        await release.wait()

    async def cancel_second(slots: Slots, worker: LocalWorker, state: ProcessState) -> None:
        await until(lambda: all(held.has_begun for held in worker.block.held_slots()))
        worker.block.ask(next(held for held in worker.block.held_slots() if held.index == 1), Cause.CANCEL)
        await until(lambda: len(slots) == 2)
        release.set()

    set_processor(process)
    jobs = submit(acme, 3, kind=KIND)
    run_at_once(jobs, cancel_second)
    assert [reload(job).state for job in jobs] == ["completed", "cancelled", "completed"]


def test_blocked_loop_is_named_while_it_is_blocked_and_in_the_jobs_log(
    acme: Tenant, run_at_once: RunAtOnce, set_processor: Follow
) -> None:
    named: list[int] = []

    async def process(context: AsyncJobContext) -> None:
        if context.payload["blocks"]:
            time.sleep(0.4)  # noqa: ASYNC251 - the defect that is reported

    async def watch(slots: Slots, worker: LocalWorker, state: ProcessState) -> None:
        def look() -> None:
            give_up_at = time.monotonic() + 20
            while not named and time.monotonic() < give_up_at:
                seat, since = state.running_seat, state.running_since_ns
                if seat and time.monotonic_ns() - since > 200_000_000 and state.running_seat == seat:
                    named.append(seat - 1)

        await asyncio.to_thread(look)

    set_processor(process)
    jobs = [submit(acme, kind=KIND, payload={"blocks": blocks})[0] for blocks in (False, True)]
    state = run_at_once(jobs, watch)
    assert (named, state.blocks) == ([1], 1)
    assert state.longest_block_ns >= 400_000_000
    with all_tenants():
        logs = [[line.message for line in read_log(job, limit=5).lines] for job in jobs]
        blocks = list_blocks(Worker.objects.get())
    assert logs == [[], ["blocked the event loop"]]
    assert [(block.job, block.milliseconds >= 400) for block in blocks] == [(jobs[1], True)]


def test_attempt_to_end_the_process_fails_only_its_execution(
    acme: Tenant, run_at_once: RunAtOnce, set_processor: Follow
) -> None:
    async def process(context: AsyncJobContext) -> None:
        await asyncio.sleep(0)
        if context.payload["leaves"]:
            raise SystemExit(1)

    set_processor(process)
    jobs = [submit(acme, kind=KIND, payload={"leaves": leaves})[0] for leaves in (True, False)]
    run_at_once(jobs)
    assert [reload(job).state for job in jobs] == ["retryable", "completed"]
    assert reload(jobs[0]).error_type == "ProcessExitError"


async def ignore_cancellation(context: AsyncJobContext, release: threading.Event) -> None:
    while not release.is_set():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.01)


async def block_thread(context: AsyncJobContext, release: threading.Event) -> None:
    await context.run(release.wait, 20)


async def leave_task(context: AsyncJobContext, release: threading.Event) -> None:
    left.append(asyncio.create_task(block_thread(context, release)))
    await asyncio.sleep(0.05)


left: list[asyncio.Task[None]] = []


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize(
    ("misbehave", "cause", "found"),
    [
        (ignore_cancellation, Cause.CANCEL, ExitCause.CANCELLED),
        (ignore_cancellation, Cause.DEADLINE, ExitCause.EXPIRED),
        (ignore_cancellation, Cause.FENCE_LOST, ExitCause.SUPERSEDED),
        (block_thread, Cause.SHUTDOWN, ExitCause.SHUT_DOWN),
        (block_thread, None, ExitCause.TIMED_OUT),
        (leave_task, None, ExitCause.TASKS_LEFT),
    ],
)
def test_execution_whose_code_does_not_end_is_left_to_the_parent(
    acme: Tenant,
    run_at_once: RunAtOnce,
    set_processor: Follow,
    monkeypatch: pytest.MonkeyPatch,
    misbehave: Misbehave,
    cause: Cause | None,
    found: ExitCause,
    lanes: int,
) -> None:
    monkeypatch.setattr(execution, "STOP_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(execution, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(ScriptedCoroutine, "timeout_seconds", 0.2 if found is ExitCause.TIMED_OUT else 60.0)
    release, begun = threading.Event(), asyncio.Event()

    async def process(context: AsyncJobContext) -> None:
        begun.set()
        await misbehave(context, release)

    async def look(slots: Slots, worker: LocalWorker, state: ProcessState) -> None:
        try:
            await until(begun.is_set)
            if cause is not None:
                slots.interrupt(0, cause)
            await until(lambda: state.abandoned)
            assert not await slots.drain(0.3)
            assert state.abandoned == {0: found}
            assert await asyncio.to_thread(in_thread, lambda: reload(job).state) == "executing"
        finally:
            release.set()

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    # Nothing kills this process, and the code ends at last.
    run_at_once([job], look, lanes=lanes)
    assert reload(job).state != "executing"


def test_effects_that_do_not_end_are_left_to_the_parent_but_those_that_wait_for_a_connection_are_not(
    acme: Tenant, run_at_once: RunAtOnce, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "SETTLE_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(ScriptedCoroutine, "timeout_seconds", 0.2)
    release, hanging = threading.Event(), list[int]()

    async def process(context: AsyncJobContext) -> None:
        context.in_settlement(lambda: hanging.append(context.payload["seat"]) or release.wait(20))

    async def look(slots: Slots, worker: LocalWorker, state: ProcessState) -> None:
        try:
            await until(lambda: state.abandoned)
            assert not await slots.drain(0.3)
            assert state.abandoned == dict.fromkeys(hanging, ExitCause.TIMED_OUT)
        finally:
            release.set()

    set_processor(process)
    jobs = [submit(acme, kind=KIND, payload={"seat": seat})[0] for seat in range(2)]
    # Nothing kills this process, and the effects end at last.
    run_at_once(jobs, look, lanes=1)
    assert [reload(job).state for job in jobs] == ["completed"] * 2


def test_settlement_that_fails_does_not_end_the_process_later(
    acme: Tenant, run_at_once: RunAtOnce, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "SETTLE_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(execution, "settle_with_effects", raising(LookupError("no such row")))
    monkeypatch.setattr(ScriptedCoroutine, "timeout_seconds", 0.5)

    async def look(slots: Slots, worker: LocalWorker, state: ProcessState) -> None:
        await until(lambda: not len(slots))
        # It begins after the time limit of the settlement, and is as long.
        later = asyncio.Event()
        asyncio.get_running_loop().call_later(1.0, later.set)
        await later.wait()
        assert state.abandoned == {}

    set_processor(lambda context: context.in_settlement(list))
    run_at_once(submit(acme, kind=KIND), look)


def test_callback_between_the_end_and_the_settlement_cannot_start_a_task(
    acme: Tenant, run_at_once: RunAtOnce, set_processor: Follow
) -> None:
    refused: list[str] = []
    tried = threading.Event()

    def start_late() -> None:
        late = asyncio.sleep(60)
        try:
            asyncio.get_running_loop().create_task(late)
        except RuntimeError as error:
            refused.append(str(error))
        tried.set()

    async def process(context: AsyncJobContext) -> None:
        # As a timer of the processor would call it.
        call = partial(asyncio.get_running_loop().call_soon_threadsafe, start_late, context=copy_context())

        def effect() -> None:
            call()
            assert tried.wait(20)

        context.in_settlement(effect)

    set_processor(process)
    (job,) = submit(acme, kind=KIND)
    run_at_once([job])
    assert reload(job).state == "completed"
    assert refused == ["A job that has ended cannot start a task."]


def test_message_that_is_not_to_be_started_frees_its_seat(local: LocalWorker, transactional_db: None) -> None:
    freed: list[int] = []
    (state,) = shared_states(1)

    async def main() -> None:
        async with Slots(local, state, lanes=1, on_settled=freed.extend) as slots:
            slots.take(0, uuid4(), [uuid4()])
            assert await slots.drain(20)

    asyncio.run(main())
    assert (freed, list(local.block.held_slots())) == ([0], [])


def test_effects_and_children_are_settled_in_a_lent_connection(
    acme: Tenant, run_at_once: RunAtOnce, set_processor: Follow
) -> None:
    threads: list[str] = []

    def effect() -> None:
        threads.append(threading.current_thread().name)
        Batch.objects.create(label="at the end", kind="noop", total=1)

    async def process(context: AsyncJobContext) -> None:
        context.in_settlement(effect if context.payload["works"] else lambda: 1 / 0)

    set_processor(process)
    jobs = [submit(acme, kind=KIND, payload={"works": works})[0] for works in (True, False)]
    run_at_once(jobs)
    assert [reload(job).state for job in jobs] == ["completed", "retryable"]
    assert [name.split("_")[0] for name in threads] == ["lane-0"]
    with all_tenants():
        assert Batch.objects.count() == 1
        assert Execution.objects.get(job_id=jobs[1].pk).outcome == Execution.Outcome.FAILED
