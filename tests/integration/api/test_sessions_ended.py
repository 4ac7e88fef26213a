"""Requests whose database session is terminated before each of their statements: 503 and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from rest_framework.test import APIClient

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.database.conf import APP_ALIAS
from tenants.models import Tenant
from tests.databases import TestDatabase

pytestmark = pytest.mark.django_db(transaction=True)

# More statements than any of these requests executes.
MOST_STATEMENTS = 60
ASKED = {
    "logs": lambda job: ("GET", f"/api/v1/jobs/{job.pk}/logs/", None),
    "job": lambda job: ("GET", f"/api/v1/jobs/{job.pk}/", None),
    "jobs": lambda job: ("GET", "/api/v1/jobs/", None),
    "usage": lambda job: ("GET", "/api/v1/usage/", None),
    "submission": lambda job: ("POST", "/api/v1/jobs/", {"kind": "noop"}),
    "bulk": lambda job: ("POST", "/api/v1/jobs/bulk/", {"jobs": [{"kind": "noop"}, {"kind": "noop"}]}),
    "cancel": lambda job: ("POST", f"/api/v1/jobs/{job.pk}/cancel/", {}),
}


@contextmanager
def ended_before(statement: int, killer: psycopg.Connection[Any]) -> Iterator[list[str]]:
    """Terminate this thread's session before its n-th statement; yield the executed statements."""
    seen: list[str] = []

    def end(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        seen.append(str(sql))
        if len(seen) == statement:
            pid = connection.connection.info.backend_pid
            killer.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(end):
        yield seen


@pytest.fixture
def killer(django_db_setup: TestDatabase, db: None) -> Iterator[psycopg.Connection[Any]]:
    entry = settings.DATABASES[APP_ALIAS]
    with psycopg.connect(
        host=entry["HOST"],
        port=entry["PORT"],
        user=entry["USER"],
        password=entry["PASSWORD"],
        dbname=entry["NAME"],
        autocommit=True,
    ) as opened:
        yield opened


@pytest.mark.parametrize("what", ASKED)
def test_request_whose_session_is_terminated_is_a_503(
    acme: Tenant, api_client: Callable[[Tenant], APIClient], killer: psycopg.Connection[Any], what: str
) -> None:
    client = api_client(acme)
    client.raise_request_exception = False
    for number in range(1, MOST_STATEMENTS):
        job = submit_job(tenant=acme, request=JobRequest(kind="noop")).job
        method, path, body = ASKED[what](job)
        with all_tenants():
            before = Job.objects.count()
        with ended_before(number, killer) as seen:
            answer = client.generic(method, path) if body is None else client.post(path, body, format="json")
        connection.close()
        if len(seen) < number:
            break
        assert answer.status_code == 503, f"before statement {number}, {seen[number - 1]}: {answer.content.decode()}"
        assert "Retry-After" in answer.headers
        with all_tenants():
            assert Job.objects.count() == before
    else:
        pytest.fail("There are more statements than were tried.")
    assert answer.status_code in {200, 201, 202}
