"""Pipelines, and helpers that run a run's job as a worker does, in the test's own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import override_settings
from rest_framework.test import APIClient

from scheduling.execution import policy, processing, settlement_builders
from scheduling.execution.checkpoints import save_checkpoint
from scheduling.execution.settlement import settle
from scheduling.execution.start import StartedExecution
from scheduling.kit.base import Dependency, Effects, Interrupted, Json
from scheduling.models import Execution, Job, LiveExecution
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.conftest import pool, start, tick, worker  # noqa: F401 - fixtures of this folder too
from tests.integration.scheduling.job_helpers import Start, Tick, begin
from workloads.documents.models import Chunk, Dataset
from workloads.documents.service import create_dataset
from workloads.files.models import UploadedFile
from workloads.files.service import upload_files
from workloads.pipelines import run_execution
from workloads.pipelines.models import Pipeline, PipelineEntity, PipelineRun
from workloads.pipelines.node_types import chain
from workloads.pipelines.processor import RagPipeline
from workloads.pipelines.queries import find_entities, get_run
from workloads.pipelines.runs import start_run
from workloads.pipelines.service import create_pipeline
from workloads.workflows.records.models import NodeRun


@pytest.fixture(autouse=True)
def files_root(tmp_path: Path) -> Iterator[Path]:
    """Return the test's own file storage."""
    with override_settings(MEDIA_ROOT=tmp_path):
        yield tmp_path


@pytest.fixture(autouse=True)
def no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry failures without backoff."""
    monkeypatch.setattr(run_execution, "BACK_OFF_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(run_execution, "LOOK_SECONDS", 0.05)


@pytest.fixture
def dataset(acme: Tenant) -> Dataset:
    return create_dataset(tenant=acme, name="handbook")


@pytest.fixture
def globex_dataset(globex: Tenant) -> Dataset:
    return create_dataset(tenant=globex, name="secrets")


@pytest.fixture
def acme_api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(acme)


@pytest.fixture
def globex_api(globex: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(globex)


def paragraphs(count: int, *, of: str = "queues") -> str:
    """Return a text of so many paragraphs, each long enough for its own chunk."""
    return "\n\n".join(
        f"Paragraph {number} tells about {of} {number * 7919} and what the scheduler does with them in the end."
        for number in range(count)
    )


def text(name: str, content: str) -> dict[str, str]:
    return {"type": "text", "name": name, "text": content}


def definition(*sources: Mapping[str, Any], dataset: str = "handbook", **steps: Any) -> dict[str, Any]:
    """Return a definition that makes a chunk of each paragraph, four at a time."""
    configs = {
        "datasource": {"sources": list(sources)},
        "split": {"mode": "fixed", "chunk_size": 30, "chunk_overlap": 0},
        "embed": {"batch_size": 4},
        "load": {"dataset": dataset},
    }
    return chain(**{**configs, **steps})


@pytest.fixture
def make_pipeline(acme: Tenant, dataset: Dataset) -> Callable[..., Pipeline]:
    """Return a function that makes a pipeline of acme over these sources."""

    def make(*sources: Mapping[str, Any], name: str = "docs", **steps: Any) -> Pipeline:
        return create_pipeline(tenant=acme, name=name, definition=definition(*sources, **steps))

    return make


def begin_graph(
    tenant: Tenant,
    nodes: Mapping[str, Mapping[str, Any]],
    edges: Sequence[str],
    *sources: Mapping[str, Any],
    replaced: str = "clean split",
    **steps: Any,
) -> PipelineRun:
    """Start a run of the steps with these nodes beside them; the edges, such as `which split long`, replace one."""
    made = definition(*sources, **steps)
    made["nodes"] += [{"id": name, **node} for name, node in nodes.items()]
    kept = [edge for edge in made["edges"] if f"{edge['from']} {edge['to']}" != replaced]
    made["edges"] = kept + [dict(zip(("from", "to", "case"), edge.split(), strict=False)) for edge in edges]
    pipeline = create_pipeline(tenant=tenant, name="graph", definition=made)
    return start_run(tenant=tenant, pipeline_id=pipeline.pk)


def records_of(run: PipelineRun) -> dict[str, NodeRun]:
    """Return the nodes in the record of the run's job."""
    with tenant_context(run.tenant_id):
        return {row.node_id: row for row in NodeRun.objects.filter(run_id=run.job_id)}


def pipeline_of(tenant: Tenant) -> Pipeline:
    """Create a pipeline of another tenant, with its own dataset."""
    create_dataset(tenant=tenant, name="own")
    return create_pipeline(tenant=tenant, name="theirs", definition=definition(text("a.txt", "One."), dataset="own"))


def upload(tenant: Tenant, name: str, content: bytes) -> UploadedFile:
    """Upload a file as the tenant."""
    (file,) = upload_files(tenant=tenant, files=[SimpleUploadedFile(name, content)])
    return file


class KilledError(BaseException):
    """The worker is killed: none of its code runs any more."""


@dataclass
class TestRuntime:
    """A runtime on the real services, which can stop at a checkpoint, before or after its commit."""

    __test__ = False

    started: StartedExecution
    stop_after: int | None = None
    yield_after: int | None = None
    checkpoints: int = 0
    effects: list[Effects] = field(default_factory=list)
    logged: list[tuple[str, Json]] = field(default_factory=list)
    progress: list[tuple[int, int]] = field(default_factory=list)
    answered: list[tuple[str, BaseException | None]] = field(default_factory=list)

    def checkpoint(self, state: Json, effects: Effects | None) -> None:
        if self.stop_after is not None and self.checkpoints >= self.stop_after:
            raise KilledError
        save_checkpoint(
            tenant_id=self.started.tenant_id,
            job_id=self.started.job_id,
            fence=self.started.fence,
            state=state,
            effects=effects,
        )
        self.checkpoints += 1

    def in_settlement(self, effects: Effects) -> None:
        self.effects.append(effects)

    def run_effects(self) -> None:
        for effects in self.effects:
            effects()

    def report_progress(self, current: int, total: int, message: str) -> None:
        self.progress.append((current, total))

    def should_yield(self) -> bool:
        return self.yield_after is not None and self.checkpoints >= self.yield_after

    def log(self, message: str, level: str, fields: Json) -> None:
        self.logged.append((message, fields))

    def enter_dependency(self, dependency: Dependency) -> None:
        pass

    def leave_dependency(self, dependency: Dependency, error: BaseException | None) -> None:
        self.answered.append((dependency.name, error))


@dataclass
class JobRunner:
    """A worker of this process; after `stop_after` checkpoints it is gone, as after a kill."""

    tick: Tick
    start: Start
    runtimes: list[TestRuntime] = field(default_factory=list)

    def run(self, job_id: UUID, *, stop_after: int | None = None, yield_after: int | None = None) -> Job:
        """Run a job to its settlement, or to where it is stopped."""
        self.tick()
        with connection.cursor() as cursor:
            # A tick lets its transaction be idle for two seconds; a test's transaction outlives it.
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        with all_tenants():
            job = Job.objects.get(pk=job_id)
        started = begin(self.start, job)
        runtime = TestRuntime(started, stop_after, yield_after)
        self.runtimes.append(runtime)
        try:
            settlement = _answer(started, runtime)
        except KilledError:
            pass
        else:
            has_completed = settlement.outcome == Execution.Outcome.COMPLETED
            settle([settlement], effects=runtime.run_effects if has_completed else None)
        with all_tenants():
            return Job.objects.get(pk=job_id)


@pytest.fixture
def job_runner(tick: Tick, start: Start) -> JobRunner:  # noqa: F811 - the fixtures that are imported above
    """Return a worker for these tests."""
    return JobRunner(tick, start)


def _answer(started: StartedExecution, runtime: TestRuntime) -> Any:
    context = processing.context_of(started, runtime, {})
    retries = policy.retry_policy(started, RagPipeline)
    processor = RagPipeline()
    try:
        return policy.settlement_of(processor.process(context), started, retries)
    except (Interrupted, KilledError):
        raise
    except Exception as error:  # noqa: BLE001 - as the worker does
        outcome = processor.handle_error(context, error)
        if outcome is not None:
            return policy.settlement_of(outcome, started, retries)
        return policy.failure_of(error, started, retries)


def rescue(job: Job) -> Job:
    """Rescue the job of a lost worker, as the sweep does."""
    with all_tenants():
        live = LiveExecution.objects.get(job=job)
    lost = settlement_builders.crashed(live.pk, live.fence, crash_count=0, was_alone=True, cause="killed", is_lost=True)
    settle([lost])
    with all_tenants():
        return Job.objects.get(pk=job.pk)


def run_of(run: PipelineRun) -> Any:
    """Return the run as its readers see it now."""
    with tenant_context(run.tenant_id):
        return get_run(run.pk)


def entities_of(run: PipelineRun) -> list[Any]:
    with tenant_context(run.tenant_id):
        return list(find_entities().filter(run_id=run.pk).order_by("position"))


def files_in(root: Path) -> int:
    return sum(path.is_file() for path in root.rglob("*"))


def chunks_of(entity: PipelineEntity) -> list[str]:
    """Return the texts of an entity's document, in order, and assert that positions have no gap or repeat."""
    with tenant_context(entity.tenant_id):
        rows = list(Chunk.objects.filter(document_id=entity.document_id).order_by("position", "id"))
    assert [row.position for row in rows] == list(range(len(rows)))
    return [row.text for row in rows]
