"""A worker in the test's own process, a server that listens, and programs of two tenants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scheduling.models import Job, LiveExecution, WorkerPool
from scheduling.services.dispatching import run_tick
from scheduling.services.workers import register_worker
from scheduling.worker.control_block import ControlBlock
from scheduling.worker.execution import execute
from scheduling.worker.registration import LocalWorker
from tenants.context import all_tenants
from tests.integration.api.conftest import acme_api, globex_api, viewer_api  # noqa: F401 - fixtures of this folder too
from tests.integration.scheduling.acts import reload
from tests.web_server import WebServer, web_server

type Run = Callable[[Job], Job]


@pytest.fixture
def server(settings: Any) -> Iterator[WebServer]:
    with web_server() as running:
        settings.OUTGOING_HTTP_ALLOWED_HOSTS = [f"127.0.0.1:{running.port}"]
        yield running


@pytest.fixture
def run(transactional_db: None) -> Run:
    """Dispatch and execute one job; what became of it."""
    local = LocalWorker(register_worker(pool_name="default", hostname="test", pid=1, slots=1), ControlBlock(1))

    def run_job(job: Job) -> Job:
        run_tick(WorkerPool.objects.get(name="default").pk)
        with all_tenants():
            live = LiveExecution.objects.get(job_id=job.pk)
        execute(execution_ids=[live.pk], token=live.token, child_index=0, worker=local)
        return reload(job)

    return run_job
