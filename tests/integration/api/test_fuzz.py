"""Requests drawn from the OpenAPI document, valid and invalid, by two tenants: no fault, and no data of the other.

`FUZZ_EXAMPLES` sets how many requests are drawn for each operation; they differ on every run.
Each request is rolled back, so the world stays unchanged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection, transaction
from django.test import Client, override_settings
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pytest_django.plugin import DjangoDbBlocker
from rest_framework.test import APIClient
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from scheduling.jobs.batches.api import BatchViewSet
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.access import routes, table
from tests.access.routes import API_PREFIX
from tests.integration.access.test_table import NamedRows
from tests.integration.access.world import World, make_world
from tests.integration.api.conftest import session_of
from tests.integration.api.tenant_markers import WORDS, ids_of, plant

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))
CSRF_TOKEN = "a" * 32
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]
HOLDERS = routes.holders()
OPERATIONS = sorted(
    {
        (method, routes.readable(route, API_PREFIX).removeprefix(API_PREFIX), right)
        for method, route, right in routes.api_routes()
        # Streams are kept open by their own server, and refused here.
        if right != "anyone" and not route.rstrip("$").endswith("stream/")
    }
)
BOUNDED = settings(
    max_examples=EXAMPLES,
    # The same requests on every run by default, so that a failure can be reproduced.
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    print_blob=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # the failing request is small enough, and shrinking it takes minutes
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
# The name of the world's row behind an address, by its first segment.
ROWS = {
    "jobs": "job",
    "executions": "execution",
    "dead-letters": "letter",
    "batches": "batch",
    "errors": "error",
    "schedules": "schedule",
    "datasets": "dataset",
    "documents": "document",
    "files": "file",
    "pipelines": "pipeline",
    "pipeline-runs": "pipeline_run",
    "entities": "entity",
    "workflows": "workflow",
    "workflow-runs": "workflow_run",
    "approvals": "approval",
    "members": "member",
    "api-keys": "key",
    "platform-keys": "platform_key",
    "audit-log": "entry",
}
NAMES = {
    "queues": "dataset",
    "kinds": "noop",
    "circuits": "noop",
    "pools": "default",
    "plans": "team",
    "cfs-plans": "cloud",
    "tenants": "globex",
    "upkeep": "partitions",
    "usage": "submit_burst",
    "tiers": "team",
    "routing-rules": "10",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """A user with a session, and what no answer to that user may contain."""

    cookies: dict[str, str]
    headers: dict[str, str]
    foreign: frozenset[str]
    own: dict[str, Any]
    others: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cast:
    """The two tenants' owners, and an administrator of the platform."""

    tenants: tuple[Caller, Caller]
    admin: Caller


@pytest.fixture(scope="module")
def schema() -> Any:
    loaded = schemathesis.openapi.from_wsgi("/api/v1/schema/", get_wsgi_application())
    loaded.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    return loaded


@pytest.fixture(scope="module")
def cast(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cast]:
    """Return one world for all operations, in a transaction that is never committed, on its own connection."""
    folder: Path = tmp_path_factory.mktemp("files")
    ends = (request_started, request_finished)
    with django_db_blocker.unblock(), override_settings(MEDIA_ROOT=folder), transaction.atomic():
        for signal in ends:
            signal.disconnect(close_old_connections)
        try:
            yield make_cast(make_world())
        finally:
            for signal in ends:
                signal.connect(close_old_connections)
            transaction.set_rollback(True)


def make_cast(world: World) -> Cast:
    with all_tenants():
        acme, globex = Tenant.objects.get(slug="acme"), Tenant.objects.get(slug="globex")
    greta = User.objects.get(username="greta")
    for tenant in (acme, globex):
        plant(tenant)
    secrets = {tenant.slug: frozenset({WORDS[tenant.slug], *ids_of(tenant)}) for tenant in (acme, globex)}
    with connection.cursor() as cursor:
        # The test is one transaction, and drawing requests on a busy machine takes long.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    return Cast(
        tenants=(
            make_caller(world.api["owner"], secrets["globex"], world.own, world.foreign),
            make_caller(session_of(greta), secrets["acme"], world.foreign, world.own),
        ),
        admin=make_caller(world.api["admin"], frozenset(), world.own, world.foreign),
    )


def make_caller(client: APIClient, foreign: frozenset[str], own: dict[str, Any], others: dict[str, Any]) -> Caller:
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    return Caller(cookies | {"csrftoken": CSRF_TOKEN}, {"X-CSRFToken": CSRF_TOKEN}, foreign, own, others)


def operation_of(schema: Any, method: str, path: str) -> Any:
    """Return the document's operation at an address, whatever its parameters are called."""
    bare = re.sub(r"\{\w+\}", "{}", API_PREFIX + path)
    [found] = [known for known in schema if re.sub(r"\{\w+\}", "{}", known) == bare]
    return schema[found][method]


@pytest.mark.parametrize(("method", "path", "right"), OPERATIONS, ids=str)
def test_fuzzed_answers_are_documented_and_contain_no_foreign_data(
    schema: Any, cast: Cast, method: str, path: str, right: str
) -> None:
    operation = operation_of(schema, method, path)
    resource = path.split("/", maxsplit=1)[0]
    callers = cast.tenants if "owner" in HOLDERS[right] else (cast.admin,)

    fuzz(operation, resource, callers)


def fuzz(operation: Any, resource: str, callers: tuple[Caller, ...]) -> None:
    """Draw requests for an operation, and check each answer."""

    @BOUNDED
    @given(case=operation.as_strategy(), caller=st.sampled_from(callers), whose=st.sampled_from(["own", "others", ""]))
    def check(case: Any, caller: Caller, whose: str) -> None:
        if whose:
            make_apt(case, resource, getattr(caller, whose))
        assert_answered(case, caller)

    check()


def test_list_that_leaks_another_tenant_is_detected(schema: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    true_list = BatchViewSet.list

    def list_all(view: BatchViewSet, request: Any) -> Any:
        with all_tenants():
            return true_list(view, request)

    monkeypatch.setattr(BatchViewSet, "list", list_all)
    with pytest.raises(AssertionError, match=f"{WORDS['acme']}|{WORDS['globex']}"):
        fuzz(operation_of(schema, "GET", "batches/"), "batches", cast.tenants)


def test_planted_words_appear_in_the_tenants_own_answers(cast: Cast) -> None:
    lines = [
        line for line in routes.lines(table.API) if line.method == "GET" and "owner" in HOLDERS.get(line.right, ())
    ]
    for caller, word in zip(cast.tenants, WORDS.values(), strict=True):
        client = Client()
        client.cookies.load(caller.cookies)
        paths = [API_PREFIX + line.path.format_map(NamedRows(caller.own)) for line in lines]
        containing = [path for path in paths if word in content_of(client.get(path))]
        assert len(containing) >= 25, sorted(set(paths) - set(containing))


def content_of(answer: Any) -> str:
    return b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode()


def make_apt(case: Any, resource: str, rows: dict[str, Any]) -> None:
    """Change the request so that it passes validation: no other tenant, existing ids, names and kinds."""
    case.headers.pop("X-Tenant", None)
    if case.path_parameters:
        known = rows[ROWS[resource]] if resource in ROWS else NAMES.get(resource)
        case.path_parameters = dict.fromkeys(case.path_parameters, str(known)) if known else case.path_parameters
    if isinstance(case.body, dict) and isinstance(case.body.get("kind"), str):
        case.body["kind"] = "noop"


def assert_answered(case: Any, caller: Caller) -> None:
    """Send the request, roll its changes back, and check the answer."""
    with transaction.atomic():
        answer = case.call(cookies=caller.cookies, headers=caller.headers)
        transaction.set_rollback(True)
    case.validate_response(answer, checks=CHECKS)
    assert answer.status_code != 401
    asked = f"{answer.request.url} {answer.request.body!r} {answer.request.headers}"
    content = f"{answer.text} {answer.headers}"
    leaked = [word for word in caller.foreign if word in content and word not in asked]
    assert not leaked, f"an answer has words of another tenant: {', '.join(leaked)}"
