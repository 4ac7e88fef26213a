"""Narrowed roles: each route of the access table, with rows outside of what the role is narrowed to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from scheduling.identity.configured import TENANT_ROLES
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job, Queue
from scheduling.topology.service import create_routing_rule
from tenants.access.memberships import add_member
from tenants.access.narrowed_routes import narrowed_routes
from tenants.access.permissions import KEY_PERMISSIONS, NARROWABLE
from tenants.context import all_tenants, tenant_context
from tenants.models import TenantRole
from tenants.tenancy.queries import find_tenant
from tests.access import routes, table
from tests.access.routes import API_PREFIX
from tests.integration.access.test_console_table import console_requests
from tests.integration.access.test_table import NamedRows, ask, page_requests
from tests.integration.access.world import World
from tests.keys import issue_api_key
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.service import create_dataset

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bare_refusals")]
NARROWED = {
    "kinds": {"kinds": ["sleep"], "datasets": ["inside"]},
    "queues": {"queues": ["pipeline"], "datasets": ["inside"]},
}
REFUSED = "role_narrowed"


@dataclass(frozen=True, slots=True)
class Narrow:
    """Clients of a narrowed member and of a narrowed key, the one job and dataset inside, and all ids outside."""

    api: APIClient
    key: APIClient
    console: Client
    job: UUID
    dataset: UUID
    outside: frozenset[str]


@pytest.fixture(params=list(NARROWED))
def narrow(world: World, request: Any) -> Narrow:
    acme = find_tenant("acme")
    with all_tenants():
        queue = Queue.objects.get(name="pipeline")
        create_routing_rule(values={"position": 1, "kind": "sleep", "queue": queue})
    with tenant_context(acme):
        values = {"name": "clerk", "rights": sorted(NARROWABLE), **NARROWED[request.param]}
        TENANT_ROLES.save(TenantRole(), values)
        outside = [*Job.objects.values_list("pk", flat=True), *Dataset.objects.values_list("pk", flat=True)]
        outside += [*Document.objects.values_list("pk", flat=True), *Chunk.objects.values_list("pk", flat=True)]
        job = submit_job(tenant=acme, request=JobRequest(kind="sleep", payload={"seconds": 0})).job
        dataset = create_dataset(tenant=acme, name="inside")
    user = User.objects.create_user("clerk")
    add_member(tenant=acme, user=user, role="clerk")
    token = issue_api_key(tenant=acme, name="clerk", scopes=KEY_PERMISSIONS, role="clerk").token
    api, key, console = APIClient(), APIClient(), Client(raise_request_exception=False)
    api.force_login(user)
    console.force_login(user)
    key.credentials(HTTP_AUTHORIZATION=f"Api-Key {token}")
    for client in (api, key):
        client.raise_request_exception = False
    return Narrow(api, key, console, job.pk, dataset.pk, frozenset(map(str, outside)))


def leaks(answer: Any, narrow: Narrow, sent: str) -> str | None:
    """Return what is wrong with an answer: an id from outside that was not in the request, or an error."""
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    found = sorted(one for one in narrow.outside if one.encode() in body and one not in sent)
    if found:
        return f"{answer.status_code} shows {found}"
    return f"{answer.status_code}: {body[:200]!r}" if answer.status_code >= 500 and answer.status_code != 503 else None


@pytest.mark.parametrize("caller", ["api", "key"])
def test_no_route_of_the_api_returns_what_is_outside(world: World, narrow: Narrow, caller: str) -> None:
    faults, served = {}, set()
    for line in routes.lines(table.API):
        if line.right == "anyone":
            continue
        path = line.path.format_map(NamedRows(world.own))
        answer = ask(getattr(narrow, caller), line.method, API_PREFIX + path, line.body)
        if (fault := leaks(answer, narrow, path)) is not None:
            faults[f"{line.method} {line.path}"] = fault
        if answer.status_code < 400:
            served.add(f"{line.method} {line.path}")
        elif answer.status_code == 403 and answer.resolver_match.view_name not in narrowed_routes():
            assert answer.json()["code"] == REFUSED, line
        touches = {"job", "waiting", "dataset", "document"} & set(line.names)
        if touches and answer.status_code not in (403, 404):
            faults[f"{line.method} {line.path}"] = f"{answer.status_code} for a row outside"
    assert faults == {}
    assert served >= {"GET jobs/", "GET datasets/", "GET documents/"}


def test_no_page_of_the_console_shows_what_is_outside(world: World, narrow: Narrow) -> None:
    faults = {}
    for method, url, form in _console_requests(world):
        answer = ask(narrow.console, method, url, form=form)
        if (fault := leaks(answer, narrow, url)) is not None:
            faults[f"{method} {url}"] = fault
    assert faults == {}


def _console_requests(world: World) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for page in routes.pages():
        for method, url, _right in page_requests(page, world.own_rows[page.label]):
            yield method, url, {}
    for line in routes.lines(table.CONSOLE):
        if line.right != "anyone" and not line.path.startswith(("sign-in/", "password_change/")):
            yield from console_requests(line, world.own)


def test_jobs_and_datasets_inside_are_served(world: World, narrow: Narrow) -> None:
    for client in (narrow.api, narrow.key):
        assert [row["id"] for row in client.get(f"{API_PREFIX}jobs/").json()["results"]] == [str(narrow.job)]
        assert [row["name"] for row in client.get(f"{API_PREFIX}datasets/").json()["results"]] == ["inside"]
        assert client.get(f"{API_PREFIX}jobs/{narrow.job}/").status_code == 200
        assert client.get(f"{API_PREFIX}jobs/{narrow.job}/events/").status_code == 200
        assert client.get(f"{API_PREFIX}datasets/{narrow.dataset}/").status_code == 200
    assert narrow.console.get("/admin/", follow=True).redirect_chain == [("/admin/scheduling/job/", 302)]
    assert str(narrow.job) in narrow.console.get(f"/admin/scheduling/job/{narrow.job}/change/").content.decode()
    exported = narrow.console.post("/admin/scheduling/job/export/", {"format": "jsonl"})
    assert b"".join(exported.streaming_content).count(b"\n") == 1
    answer = ask(narrow.api, "POST", f"{API_PREFIX}jobs/{narrow.job}/cancel/", {})
    assert answer.status_code == 200, answer.json()


def test_submission_outside_is_refused(world: World, narrow: Narrow) -> None:
    for client in (narrow.api, narrow.key):
        answer = ask(client, "POST", f"{API_PREFIX}jobs/", {"kind": "noop"})
        assert (answer.status_code, answer.json()["code"]) == (403, REFUSED)
    answer = ask(narrow.api, "POST", f"{API_PREFIX}datasets/", {"name": "elsewhere"})
    assert (answer.status_code, answer.json()["code"]) == (403, REFUSED)


def test_cached_answer_about_a_job_outside_is_not_served(world: World, narrow: Narrow) -> None:
    url = f"{API_PREFIX}jobs/{world.own['job']}/"
    assert world.api["owner"].get(url).status_code == 200
    assert narrow.api.get(url).status_code == 404


def test_idempotency_key_of_a_job_outside_is_refused(world: World, narrow: Narrow) -> None:
    url, headers = f"{API_PREFIX}jobs/", {"Idempotency-Key": "the same"}
    assert world.api["owner"].post(url, {"kind": "noop"}, format="json", headers=headers).status_code == 201
    answer = narrow.api.post(url, {"kind": "noop"}, format="json", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, REFUSED)


def test_routes_that_serve_narrowed_roles_exist() -> None:
    known = {pattern.name for _route, pattern in routes.walk()}
    assert {name.removeprefix("admin:") for name in narrowed_routes()} - known == set()
