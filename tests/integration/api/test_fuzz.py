"""Requests drawn from our own OpenAPI document, fitting and not: never a 5xx, always what it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from scheduling.models import DeadLetter, Execution, Job
from scheduling.services.submission import create_batch
from tenants.context import all_tenants
from tenants.ids import uuid7
from tenants.models import Tenant
from tests.integration.api.conftest import session_of
from tests.integration.api.test_schema import OFFERED

EXAMPLES = 20
CSRF_TOKEN = "a" * 32
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]
OPERATIONS = [(method, path) for path, methods in OFFERED.items() for method in sorted(methods)]
BOUNDED = settings(
    max_examples=EXAMPLES,
    derandomize=True,  # the same requests on every run: a failure is one that can be had again
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def schema() -> Any:
    loaded = schemathesis.openapi.from_wsgi("/api/v1/schema/", get_wsgi_application())
    loaded.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    return loaded


@contextmanager
def kept_connection() -> Iterator[None]:
    """The test's own connection stays open between requests, as Django's test client keeps it."""
    with connection.cursor() as cursor:
        # The test is one transaction, and drawing requests on a busy machine takes its time.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    ends = (request_started, request_finished)
    for signal in ends:
        signal.disconnect(close_old_connections)
    yield
    for signal in ends:
        signal.connect(close_old_connections)


@pytest.fixture
def known(acme: Tenant, dead_job: Job) -> dict[str, str]:
    """An id that exists, by the first part of the address."""
    batch = create_batch(tenant=acme, label="books", kind="noop", total=0)
    with all_tenants():
        return {
            "jobs": str(dead_job.id),
            "executions": str(Execution.objects.get(job_id=dead_job.id).id),
            "dead-letters": str(DeadLetter.objects.get(job_id=dead_job.id).id),
            "batches": str(batch.id),
            "queues": "dataset",
        }


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_request_is_answered_with_a_fault_or_otherwise_than_described(
    schema: Any, known: dict[str, str], acme_api: APIClient, staff: User, method: str, path: str
) -> None:
    operation = schema[path][method.upper()]
    resource = path.removeprefix("/api/v1/").split("/")[0]
    credentials = _credentials(acme_api, session_of(staff), resource)

    @BOUNDED
    @given(case=operation.as_strategy(), is_apt=st.booleans())
    def check(case: Any, *, is_apt: bool) -> None:
        if is_apt:
            _make_apt(case, known.get(resource, str(uuid7())))
        answer = case.call_and_validate(checks=CHECKS, **credentials)
        assert answer.status_code != 401

    with kept_connection():
        check()


def _make_apt(case: Any, known_id: str) -> None:
    """Let the request reach beyond the doorman: no other tenant, an id that exists, a kind that exists."""
    case.headers.pop("X-Tenant", None)
    if case.path_parameters:
        case.path_parameters = dict.fromkeys(case.path_parameters, known_id)
    if isinstance(case.body, dict) and isinstance(case.body.get("kind"), str):
        case.body["kind"] = "noop"


def _credentials(key_client: APIClient, staff_client: APIClient, resource: str) -> dict[str, Any]:
    """A key of acme, or for queues a session of staff."""
    if resource != "queues":
        return {"headers": {"Authorization": key_client._credentials["HTTP_AUTHORIZATION"]}}
    cookies = {name: morsel.value for name, morsel in staff_client.cookies.items()}
    return {"cookies": cookies | {"csrftoken": CSRF_TOKEN}, "headers": {"X-CSRFToken": CSRF_TOKEN}}
