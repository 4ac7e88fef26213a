"""Workflows, a model on loopback, and a worker of one slot in the test's own process, with real commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import override_settings
from rest_framework.test import APIClient

from scheduling.dispatch import leadership
from scheduling.dispatch.tick import run_tick
from scheduling.execution.message import execute
from scheduling.fleet.workers import register_worker
from scheduling.models import Job, LiveExecution, Worker, WorkerPool
from scheduling.worker.registration import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.model_server import ModelServer, model_server
from workloads.workflows.models import Workflow
from workloads.workflows.records.models import NodeRun, WorkflowRun
from workloads.workflows.runs import start_run
from workloads.workflows.service import create_workflow

MOST_STARTS = 20


@pytest.fixture(autouse=True)
def files_root(tmp_path: Path) -> Iterator[Path]:
    """A storage of the test's own."""
    with override_settings(MEDIA_ROOT=tmp_path):
        yield tmp_path


@pytest.fixture(autouse=True)
def patient_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a tick of a test may pause for longer than a dispatcher's may."""
    monkeypatch.setattr(leadership, "TICK_IDLE_TIMEOUT_MS", 600_000)


@pytest.fixture
def model(change_platform_settings) -> Iterator[ModelServer]:
    """The platform's model endpoint, which `http_request` nodes may call too."""
    with model_server() as server:
        change_platform_settings(LLM_API_URL=server.url, LLM_MODEL="stub")
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[server.host])
        yield server


@pytest.fixture
def local(transactional_db: None) -> LocalWorker:
    """A worker of one slot, which is this process."""
    return LocalWorker.of(register_worker(pool_name="default", hostname="test", pid=1, slots=1))


@pytest.fixture
def acme_api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    """A program of acme, with an API key."""
    return api_client(acme)


@pytest.fixture
def globex_api(globex: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    """A program of another tenant."""
    return api_client(globex)


class Runs:
    """Starts runs, and gives the worker to them as long as they take it."""

    def __init__(self, local: LocalWorker) -> None:
        self._local = local

    def start(self, tenant: Tenant, definition: Any, inputs: Mapping[str, Any] | None = None) -> Job:
        """A run of a new workflow, submitted and not begun."""
        with tenant_context(tenant):
            number = Workflow.objects.count()
        workflow = create_workflow(tenant=tenant, name=f"workflow {number}", definition=definition)
        return start_run(tenant=tenant, workflow=workflow, inputs=inputs or {}).job

    def step(self, job: Job) -> bool:
        """One start of the job; whether it could begin."""
        dispatch()
        with all_tenants():
            live = LiveExecution.objects.filter(job_id=job.pk).first()
        if live is None:
            return False
        execute(execution_ids=[live.pk], token=live.token, child_index=0, worker=self._local)
        return True

    def go(self, job: Job) -> Job:
        """Start the job again and again, until it has ended or waits."""
        for _ in range(MOST_STARTS):
            if not self.step(job):
                break
        return reload(job)

    def run(self, tenant: Tenant, definition: Any, inputs: Mapping[str, Any] | None = None) -> Job:
        """A new run, as far as it goes."""
        return self.go(self.start(tenant, definition, inputs))


@pytest.fixture
def runs(local: LocalWorker) -> Runs:
    """What runs workflows."""
    return Runs(local)


def dispatch() -> None:
    """One tick, for a worker that lives: nobody else beats for it, and a test may take its time."""
    with all_tenants():
        Worker.objects.update(heartbeat_at=Now())
    run_tick(WorkerPool.objects.get(name="default").pk)


def reload(job: Job) -> Job:
    """The job as it is now."""
    with all_tenants():
        return Job.objects.get(pk=job.pk)


def run_of(job: Job) -> WorkflowRun:
    """What is recorded of a run."""
    with all_tenants():
        return WorkflowRun.objects.get(pk=job.pk)


def nodes_of(job: Job) -> dict[str, NodeRun]:
    """What is recorded of its nodes, by their id and the indexes of items."""
    with all_tenants():
        rows = list(NodeRun.objects.filter(run_id=job.pk))
    return {"@".join([row.node_id, *(".".join(map(str, row.path)) or "").split()]): row for row in rows}
