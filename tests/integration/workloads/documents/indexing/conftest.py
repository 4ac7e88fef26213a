"""Datasets, uploads, and helpers that run a document's job as a worker does, in the test's own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import override_settings
from rest_framework.test import APIClient

from scheduling.execution import policy, processing, settlement_builders
from scheduling.execution.checkpoints import save_checkpoint, save_progress
from scheduling.execution.models import LiveExecution
from scheduling.execution.settlement import Progress, settle
from scheduling.execution.start import StartedExecution
from scheduling.kit import registry
from scheduling.kit.base import Dependency, Effects, Interrupted, JobContext, Json
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.settings.schema import tenant_setting
from tests.integration.scheduling.conftest import pool, start, tick, worker  # noqa: F401 - fixtures of this folder too
from tests.integration.scheduling.job_helpers import Start, Tick, begin
from workloads.documents.indexing.processor import DocumentIndexing
from workloads.documents.indexing.uploads import UploadResult, upload_documents
from workloads.documents.models import Dataset
from workloads.documents.service import create_dataset


@pytest.fixture(autouse=True)
def files_root(tmp_path: Path) -> Iterator[Path]:
    """Return the test's own file storage."""
    with override_settings(MEDIA_ROOT=tmp_path):
        yield tmp_path


@pytest.fixture
def dataset(acme: Tenant) -> Dataset:
    """Return a dataset of acme whose chunks are small, so that short texts make several."""
    return create_dataset(tenant=acme, name="handbook", chunk_size=40, chunk_overlap=0)


@pytest.fixture
def globex_dataset(globex: Tenant) -> Dataset:
    """Return a dataset of the other tenant with the same name."""
    return create_dataset(tenant=globex, name="handbook", chunk_size=40, chunk_overlap=0)


@pytest.fixture
def acme_api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    """Return a client with an API key of acme."""
    return api_client(acme)


@pytest.fixture
def globex_api(globex: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    """Return a client with an API key of another tenant."""
    return api_client(globex)


def upload(dataset: Dataset, **files: bytes) -> UploadResult:
    """Upload files to a dataset; `a_txt=b"…"` is a.txt."""
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(pk=dataset.tenant_id)
    named = [SimpleUploadedFile(name.replace("_", "."), content) for name, content in files.items()]
    return upload_documents(tenant=tenant, dataset=dataset, files=named)


@dataclass
class JobRunner:
    """A worker of this process; after `stop_after` batches it is gone, as after a kill."""

    tick: Tick
    start: Start

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
        context = context_of(started, runtime)
        try:
            settlement = answer(context, started, runtime)
        except KilledError:
            pass
        else:
            effects = (lambda: [run() for run in runtime.effects]) if settlement.outcome == "completed" else None
            settle([settlement], effects=effects)
        with all_tenants():
            return Job.objects.get(pk=job_id)


@pytest.fixture
def job_runner(tick: Tick, start: Start) -> JobRunner:  # noqa: F811 - the fixtures that are imported above
    """Return a worker for these tests."""
    return JobRunner(tick, start)


class KilledError(BaseException):
    """The worker is killed: none of its code runs any more."""


@dataclass
class TestRuntime:
    """A runtime on the real services, which can stop after some batches of chunks."""

    __test__ = False

    started: StartedExecution
    stop_after: int | None
    yield_after: int | None
    effects: list[Effects] = field(default_factory=list)
    batches: int = 0
    logged: list[tuple[str, Json]] = field(default_factory=list)
    answered: list[tuple[str, BaseException | None]] = field(default_factory=list)

    def checkpoint(self, state: Json, effects: Effects | None) -> None:
        if self.stop_after is not None and self.batches >= self.stop_after:
            raise KilledError
        save_checkpoint(
            tenant_id=self.started.tenant_id,
            job_id=self.started.job_id,
            fence=self.started.fence,
            state=state,
            effects=effects,
        )

    def in_settlement(self, effects: Effects) -> None:
        self.effects.append(effects)

    def report_progress(self, current: int, total: int, message: str) -> None:
        self.batches += 1
        save_progress(
            tenant_id=self.started.tenant_id,
            job_id=self.started.job_id,
            fence=self.started.fence,
            progress=Progress.of(current, total, message),
        )

    def should_yield(self) -> bool:
        return self.yield_after is not None and self.batches >= self.yield_after

    def enter_dependency(self, dependency: Dependency) -> None:
        """Accept every dependency: no breaker is open here."""

    def leave_dependency(self, dependency: Dependency, error: BaseException | None) -> None:
        self.answered.append((dependency.name, error))

    def log(self, message: str, level: str, fields: Json) -> None:
        self.logged.append((message, fields))


def context_of(started: StartedExecution, runtime: TestRuntime) -> JobContext:
    return processing.context_of(
        started, runtime, {key: tenant_setting(started.tenant_id, key) for key in DocumentIndexing.settings}
    )


def answer(context: JobContext, started: StartedExecution, runtime: TestRuntime) -> Any:
    kind = registry.get(started.kind)
    retries, processor = policy.retry_policy(started, kind), kind()
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


def stored_files() -> list[str]:
    """Return the keys of everything in the storage."""
    found = []
    folders = [""]
    while folders:
        folder = folders.pop()
        inner, files = default_storage.listdir(folder)
        folders += [f"{folder}/{name}".lstrip("/") for name in inner]
        found += [f"{folder}/{name}" for name in files]
    return sorted(found)
