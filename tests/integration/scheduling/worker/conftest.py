"""A worker of one slot in the test's own process, and a kind whose processor does what the test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint

import pytest

from scheduling.models import Execution, Job, LiveExecution, WorkerPool
from scheduling.processors import registry
from scheduling.processors.base import JobContext, Outcome, TaskProcessor
from scheduling.services.dispatching import run_tick
from scheduling.services.workers import register_worker
from scheduling.worker.control_block import ControlBlock
from scheduling.worker.execution import execute
from scheduling.worker.registration import LocalWorker
from tenants.context import all_tenants
from tests.integration.scheduling.acts import reload

type Run = Callable[[Job], Job]

# What the processor of the kind `scripted` does; set by each test.
script: Callable[[JobContext], object] = lambda context: None  # noqa: E731
on_error: Callable[[JobContext, BaseException], Outcome | None] = lambda context, error: None  # noqa: E731


class Scripted(TaskProcessor):
    kind = "scripted"

    def process(self, context: JobContext) -> Outcome | None:
        return script(context)  # type: ignore[return-value]

    def handle_error(self, context: JobContext, error: BaseException) -> Outcome | None:
        return on_error(context, error)


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kind `scripted`, installed as a stranger's package would be."""
    point = EntryPoint("scripted", f"{__name__}:Scripted", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    registry.reset()
    yield
    registry.reset()


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what the processor does, and what it answers to its own error."""

    def set_script(process: Callable[[JobContext], object], handle_error: object = lambda context, error: None) -> None:
        monkeypatch.setattr(f"{__name__}.script", process)
        monkeypatch.setattr(f"{__name__}.on_error", handle_error)

    return set_script


@pytest.fixture
def local(transactional_db: None) -> LocalWorker:
    """A worker of one slot, which is this process."""
    return LocalWorker(register_worker(pool_name="default", hostname="test", pid=1, slots=1), ControlBlock(1))


@pytest.fixture
def run(local: LocalWorker) -> Run:
    """Dispatch and execute one job; what became of it."""

    def run_job(job: Job) -> Job:
        run_tick(WorkerPool.objects.get(name="default").pk)
        with all_tenants():
            live = LiveExecution.objects.get(job_id=job.pk)
        execute(execution_ids=[live.pk], token=live.token, child_index=0, worker=local)
        assert list(local.block.held_slots()) == []
        return reload(job)

    return run_job


def outcomes(job: Job) -> list[str]:
    with all_tenants():
        return list(Execution.objects.filter(job_id=job.pk).order_by("id").values_list("outcome", flat=True))


def raising(error: BaseException) -> Callable[..., object]:
    def raise_it(*_: object) -> object:
        raise error

    return raise_it
