"""A worker in the test's own process, a listening server, and clients of two tenants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from rest_framework.test import APIClient

from scheduling.dispatch.tick import run_tick
from scheduling.execution.message import execute
from scheduling.fleet.workers import register_worker
from scheduling.kit import registry
from scheduling.models import Job, LiveExecution, Worker, WorkerPool
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants
from tests.integration.api.conftest import session_of
from tests.integration.scheduling.job_helpers import reload, use_one_pool
from tests.integration.scheduling.worker.conftest import run_in_slots
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server

type Run = Callable[[Job], Job]


@pytest.fixture
def server(change_platform_settings: ChangePlatformSettings) -> Iterator[WebServer]:
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        yield running


@pytest.fixture
def acme_api(acme_user: User) -> APIClient:
    """Return a client of an owner of acme: no key may create webhooks."""
    return session_of(acme_user)


@pytest.fixture
def globex_api(globex_user: User) -> APIClient:
    """Return a client of an owner of another tenant."""
    return session_of(globex_user)


@pytest.fixture
def pool() -> str:
    """Return where `run` executes a job: in a child process of Celery's pool, or in a process of coroutines."""
    return "prefork"


@pytest.fixture
def run(transactional_db: None, pool: str) -> Run:
    """Dispatch and execute one job; return the job afterwards."""
    use_one_pool()
    local = LocalWorker.of(register_worker(pool_name="default", hostname="test", pid=1, slots=1))

    def run_job(job: Job) -> Job:
        with all_tenants():
            # Keep the heartbeat fresh, however long the test has taken: a silent worker gets no jobs.
            Worker.objects.filter(pk=local.registration.worker_id).update(heartbeat_at=Now())
        run_tick(WorkerPool.objects.get(name="default").pk)
        with all_tenants():
            live = LiveExecution.objects.get(job_id=job.pk)
        if pool == registry.resource_class(job.kind) == "io":
            asyncio.run(run_in_slots(local, [(live.pk, live.token)]))
        else:
            execute(execution_ids=[live.pk], token=live.token, child_index=0, worker=local)
        return reload(job)

    return run_job
