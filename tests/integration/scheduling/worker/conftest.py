"""A worker of one slot in the test's process, and two kinds whose processor the test scripts: one is a coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from importlib.metadata import EntryPoint
from inspect import isawaitable, iscoroutine
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now

from scheduling.dispatch.tick import run_tick
from scheduling.execution.message import execute
from scheduling.fleet.workers import register_worker
from scheduling.kit import registry
from scheduling.kit.base import AsyncJobContext, AsyncTaskProcessor, JobContext, Outcome, TaskProcessor
from scheduling.models import Execution, Job, LiveExecution, Worker, WorkerPool
from scheduling.worker.io.running import Slots
from scheduling.worker.io.state import ProcessState, shared_states
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import reload, use_one_pool

type Run = Callable[[Job], Job]
type Merge = Callable[[Sequence[Job]], tuple[list[UUID], UUID]]
type DispatchAlone = Callable[[Sequence[Job]], list[tuple[UUID, UUID]]]
type RunMerged = Callable[[Sequence[Job]], list[Job]]

# The behaviour of the processors of the kinds `scripted` and `scripted_coroutine`; set by each test.
script: Callable[[Any], object] = lambda context: None  # noqa: E731
on_error: Callable[[Any, BaseException], Outcome | None] = lambda context, error: None  # noqa: E731


class Scripted(TaskProcessor):
    kind = "scripted"

    def process(self, context: JobContext) -> Outcome | None:
        answer = script(context)
        return at_once(answer) if iscoroutine(answer) else answer  # type: ignore[return-value]

    def handle_error(self, context: JobContext, error: BaseException) -> Outcome | None:
        return on_error(context, error)


class ScriptedCoroutine(AsyncTaskProcessor):
    kind = "scripted_coroutine"

    async def process(self, context: AsyncJobContext) -> Outcome | None:
        return await value_of(script(context))  # type: ignore[return-value]

    async def handle_error(self, context: AsyncJobContext, error: BaseException) -> Outcome | None:
        return await value_of(on_error(context, error))  # type: ignore[return-value]


async def value_of(answer: object) -> object:
    """Return what a call of a context answers: a script of both kinds awaits this."""
    return await answer if isawaitable(answer) else answer


def at_once(script: Coroutine[Any, Any, object]) -> object:
    """Run a script of both kinds for the synchronous one: nothing in it waits."""
    try:
        script.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("The script waits.")


@pytest.fixture(params=["scripted", "scripted_coroutine", "io"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return each of the two kinds in turn, and the coroutine for the pool `io`, for tests of what they share."""
    return "scripted_coroutine" if request.param == "io" else str(request.param)


@pytest.fixture
def pool(request: pytest.FixtureRequest) -> str:
    """Return where `run` executes a job: in a child process of Celery's pool, or in a process of coroutines."""
    kind = getattr(request.node, "callspec", None) and request.node.callspec.params.get("kind")
    return str(getattr(request, "param", "io" if kind == "io" else "prefork"))


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the kinds as a third-party package is."""
    points = [
        EntryPoint(name, f"{__name__}:{class_name}", registry.ENTRY_POINT_GROUP)
        for name, class_name in (("scripted", "Scripted"), ("scripted_coroutine", "ScriptedCoroutine"))
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    registry.reset()
    yield
    registry.reset()


@pytest.fixture
def set_processor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what the processor does, and what it returns from its error handler."""

    def set_script(process: Callable[[JobContext], object], handle_error: object = lambda context, error: None) -> None:
        monkeypatch.setattr(f"{__name__}.script", process)
        monkeypatch.setattr(f"{__name__}.on_error", handle_error)

    return set_script


@pytest.fixture
def local(transactional_db: None) -> LocalWorker:
    """Return a worker of one slot in this process, for kinds of both classes."""
    use_one_pool()
    return LocalWorker.of(register_worker(pool_name="default", hostname="test", pid=1, slots=1))


async def run_in_slots(worker: LocalWorker, messages: Sequence[tuple[UUID, UUID]], *, lanes: int = 2) -> ProcessState:
    """Run executions at once, each with its message's token, in the slots of a process; return the process's state."""
    settled: list[int] = []
    (state,) = shared_states(1)
    async with Slots(worker, state, lanes=lanes, on_settled=settled.extend) as slots:
        for seat, (execution_id, token) in enumerate(messages):
            slots.take(seat, token, [execution_id])
        assert await slots.drain(60)
    assert sorted(settled) == list(range(len(messages)))
    assert list(worker.block.held_slots()) == []
    assert (list(state.lane_seats), state.running_seat) == ([0] * len(state.lane_seats), 0)
    return state


@pytest.fixture
def run(local: LocalWorker, pool: str) -> Run:
    """Dispatch and execute one job; return the job afterwards."""

    def run_job(job: Job) -> Job:
        with all_tenants():
            Worker.objects.update(heartbeat_at=Now())  # a test may have waited for longer than a heartbeat is valid
        run_tick(WorkerPool.objects.get(name="default").pk)
        with all_tenants():
            live = LiveExecution.objects.get(job_id=job.pk)
        if pool == "io":
            asyncio.run(run_in_slots(local, [(live.pk, live.token)]))
        else:
            execute(execution_ids=[live.pk], token=live.token, child_index=0, worker=local)
        assert list(local.block.held_slots()) == []
        return reload(job)

    return run_job


@pytest.fixture
def merge(local: LocalWorker, acme: Tenant, globex: Tenant) -> Merge:
    """Dispatch jobs and merge them into one message; return their executions, in order, and its token."""
    with all_tenants():
        Tenant.objects.update(max_concurrency=50)
        Worker.objects.update(slots=50)

    def merge_jobs(jobs: Sequence[Job]) -> tuple[list[UUID], UUID]:
        run_tick(WorkerPool.objects.get(name="default").pk)
        token, message = uuid4(), uuid4()
        with all_tenants(), connection.cursor() as cursor:
            ids = dict(LiveExecution.objects.values_list("job_id", "id"))
            cursor.execute(
                "UPDATE scheduling_execution_live SET token = %s, message_id = %s, is_list = false", [token, message]
            )
            # The counters that the dispatcher would have set, had it merged them.
            cursor.execute("UPDATE scheduling_schedulingentity SET in_flight = 1 WHERE in_flight > 0")
            cursor.execute("UPDATE scheduling_tenant_capacity SET in_flight = 1 WHERE in_flight > 0")
        return [ids[job.pk] for job in jobs], token

    return merge_jobs


@pytest.fixture
def enlist(merge: Merge) -> Merge:
    """Dispatch jobs in one prefetch list; return their executions, in order, and its token."""

    def enlist_jobs(jobs: Sequence[Job]) -> tuple[list[UUID], UUID]:
        merged = merge(jobs)
        with all_tenants():
            LiveExecution.objects.update(is_list=True)
        return merged

    return enlist_jobs


@pytest.fixture
def run_merged(local: LocalWorker, merge: Merge) -> RunMerged:
    """Dispatch jobs and execute them in one message; return the jobs afterwards."""

    def run(jobs: Sequence[Job]) -> list[Job]:
        execution_ids, token = merge(jobs)
        try:
            execute(execution_ids=execution_ids, token=token, child_index=0, worker=local)
        finally:
            assert faults_of("ledger") == []
        assert list(local.block.held_slots()) == []
        return [reload(job) for job in jobs]

    return run


@pytest.fixture
def run_list(local: LocalWorker, enlist: Merge) -> RunMerged:
    """Dispatch jobs and execute them in one prefetch list; return the jobs afterwards."""

    def run(jobs: Sequence[Job]) -> list[Job]:
        execution_ids, token = enlist(jobs)
        try:
            execute(execution_ids=execution_ids, token=token, child_index=0, worker=local)
        finally:
            assert faults_of("ledger", "executions") == []
        assert list(local.block.held_slots()) == []
        return [reload(job) for job in jobs]

    return run


@pytest.fixture
def dispatch_alone(local: LocalWorker, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch) -> DispatchAlone:
    """Dispatch jobs, each in a message of its own; return their executions with their tokens, in order."""
    monkeypatch.setattr(ScriptedCoroutine, "travels_alone", True)

    def dispatch(jobs: Sequence[Job]) -> list[tuple[UUID, UUID]]:
        with all_tenants():
            Tenant.objects.update(max_concurrency=len(jobs))
            Worker.objects.update(slots=len(jobs))
        pool_id = WorkerPool.objects.get(name="default").pk
        with all_tenants():
            while LiveExecution.objects.count() < len(jobs):
                assert run_tick(pool_id).was_led
            lives = dict(LiveExecution.objects.values_list("job_id", "id"))
            tokens = dict(LiveExecution.objects.values_list("job_id", "token"))
        return [(lives[job.pk], tokens[job.pk]) for job in jobs]

    return dispatch


def outcomes(job: Job) -> list[str]:
    with all_tenants():
        return list(Execution.objects.filter(job_id=job.pk).order_by("id").values_list("outcome", flat=True))


def raising(error: BaseException) -> Callable[..., object]:
    def raise_it(*_: object) -> object:
        raise error

    return raise_it
