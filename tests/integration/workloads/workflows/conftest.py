"""Workflows, a model on loopback, and a worker of one slot in the test's own process, with real commits."""

from __future__ import annotations

import asyncio
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
from scheduling.models import Execution, Job, LiveExecution, Worker, WorkerPool
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import use_one_pool
from tests.integration.scheduling.worker.conftest import run_in_slots
from tests.model_server import ModelServer, model_server
from workloads.workflows.models import Workflow
from workloads.workflows.records.models import NodeRun, WorkflowRun
from workloads.workflows.runs import start_run
from workloads.workflows.service import create_workflow

MOST_STARTS = 20


@pytest.fixture(autouse=True)
def files_root(tmp_path: Path) -> Iterator[Path]:
    """Return the test's own file storage."""
    with override_settings(MEDIA_ROOT=tmp_path):
        yield tmp_path


@pytest.fixture(autouse=True)
def no_idle_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a tick of a test pause for longer than a dispatcher's may, for busy machines."""
    monkeypatch.setattr(leadership, "TICK_IDLE_TIMEOUT_MS", 600_000)


@pytest.fixture
def model(change_platform_settings) -> Iterator[ModelServer]:
    """Return the platform's model endpoint, which `http_request` nodes may call too."""
    with model_server() as server:
        change_platform_settings(LLM_API_URL=server.url, LLM_MODEL="stub")
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[server.host])
        yield server


@pytest.fixture
def local(transactional_db: None) -> LocalWorker:
    """Return a worker of one slot in this process, for kinds of both classes."""
    use_one_pool()
    return LocalWorker.of(register_worker(pool_name="default", hostname="test", pid=1, slots=1))


@pytest.fixture
def acme_api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    """Return a client with an API key of acme."""
    return api_client(acme)


@pytest.fixture
def globex_api(globex: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    """Return a client with an API key of another tenant."""
    return api_client(globex)


class Runs:
    """A helper that starts runs and executes them as long as they proceed."""

    def __init__(self, local: LocalWorker, pool: str) -> None:
        self._local = local
        self._pool = pool

    def start(self, tenant: Tenant, definition: Any, inputs: Mapping[str, Any] | None = None) -> Job:
        """Submit a run of a new workflow without starting it."""
        with tenant_context(tenant):
            number = Workflow.objects.count()
        workflow = create_workflow(tenant=tenant, name=f"workflow {number}", definition=definition)
        return start_run(tenant=tenant, workflow=workflow, inputs=inputs or {}).job

    def step(self, job: Job) -> bool:
        """Start the job once; return whether it could start."""
        dispatch()
        with all_tenants():
            live = LiveExecution.objects.filter(job_id=job.pk).first()
        if live is None:
            return False
        if self._pool == "io":
            asyncio.run(run_in_slots(self._local, [(live.pk, live.token)]))
        else:
            execute(execution_ids=[live.pk], token=live.token, child_index=0, worker=self._local)
        return True

    def go(self, job: Job) -> Job:
        """Start the job repeatedly, until it has ended or waits."""
        for _ in range(MOST_STARTS):
            if not self.step(job):
                break
        return reload(job)

    def run(self, tenant: Tenant, definition: Any, inputs: Mapping[str, Any] | None = None) -> Job:
        """Start a new run and execute it as far as it proceeds."""
        return self.go(self.start(tenant, definition, inputs))


@pytest.fixture
def pool() -> str:
    """Return where `runs` executes a job: in a child process of Celery's pool, or in a process of coroutines."""
    return "prefork"


@pytest.fixture
def runs(local: LocalWorker, pool: str) -> Runs:
    """Return the helper that runs workflows."""
    return Runs(local, pool)


def dispatch() -> None:
    """Tick once, with a fresh heartbeat of the worker, since a test may take long."""
    with all_tenants():
        Worker.objects.update(heartbeat_at=Now())
    run_tick(WorkerPool.objects.get(name="default").pk)


def reload(job: Job) -> Job:
    """Return the job as it is now."""
    with all_tenants():
        return Job.objects.get(pk=job.pk)


def outcomes(job: Job) -> list[str]:
    """Return how its executions ended, in order."""
    with all_tenants():
        return list(Execution.objects.filter(job_id=job.pk).order_by("id").values_list("outcome", flat=True))


def run_of(job: Job) -> WorkflowRun:
    """Return the record of a run."""
    with all_tenants():
        return WorkflowRun.objects.get(pk=job.pk)


def nodes_of(job: Job) -> dict[str, NodeRun]:
    """Return the records of its nodes, by their id and the indexes of items."""
    with all_tenants():
        rows = list(NodeRun.objects.filter(run_id=job.pk))
    return {"@".join([row.node_id, *(".".join(map(str, row.path)) or "").split()]): row for row in rows}
