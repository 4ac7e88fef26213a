"""Runs as an engine writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from rest_framework.test import APIClient

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from tenants.database.ids import uuid7
from tenants.models import Tenant
from tests.integration.scheduling.conftest import pool, start, tick, worker  # noqa: F401 - fixtures of this folder too
from tests.workflow_histories import GRAPH
from workloads.workflows.records.records import NodeRecord, RecordState, RunRecord

BEGIN = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def files_root(tmp_path: Path) -> Iterator[Path]:
    """Return the test's own file storage."""
    with override_settings(MEDIA_ROOT=tmp_path):
        yield tmp_path


@pytest.fixture
def acme_api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(acme)


@pytest.fixture
def globex_api(globex: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(globex)


@pytest.fixture
def acme_console(acme_user: User) -> Client:
    client = Client()
    client.force_login(acme_user)
    return client


@pytest.fixture
def staff_console(staff: User) -> Client:
    client = Client()
    client.force_login(staff)
    return client


def new_job(tenant: Tenant, **options: Any) -> Job:
    """Create a job that a run can belong to."""
    return submit_job(tenant=tenant, request=JobRequest(kind="noop", **options)).job


def new_run(tenant: Tenant, **said: Any) -> RunRecord:
    """Return the first record of a run."""
    plain = RunRecord(
        run_id=uuid7(),
        tenant_id=tenant.pk,
        workflow_id=UUID(int=7),
        workflow_version=3,
        workflow_name="Answers",
        job_id=uuid7(),
        version=1,
        state=RecordState.RUNNING,
        inputs={"question": "why?"},
        started_at=BEGIN,
        graph=GRAPH,
    )
    return replace(plain, **said)


def later(run: RunRecord, **said: Any) -> RunRecord:
    """Return the next record of a run, with only the changed values."""
    return replace(run, version=run.version + 1, inputs=None, graph=None, **said)


def new_node(run: RunRecord, node_id: str = "start", **said: Any) -> NodeRecord:
    """Return the first record of a node."""
    plain = NodeRecord(
        run_id=run.run_id,
        node_id=node_id,
        version=1,
        node_type="template",
        state=RecordState.RUNNING,
        inputs={"text": "hello"},
        started_at=BEGIN,
    )
    return replace(plain, **said)


def ended(node: NodeRecord, state: RecordState = RecordState.SUCCEEDED, **said: Any) -> NodeRecord:
    """Return the record of a node's end."""
    return replace(
        node,
        version=node.version + 1,
        state=state,
        inputs=None,
        ended_at=BEGIN + timedelta(seconds=2),
        **{"outputs": {"text": "bye"}, **said},
    )
