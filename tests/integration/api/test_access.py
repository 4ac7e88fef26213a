"""Permissions: each endpoint as acme, globex, an outsider, a viewer, staff and without credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient, APIRequestFactory

from scheduling.jobs.batches.service import create_batch
from scheduling.models import DeadLetter, Execution, Job
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.models import Role, Tenant
from tenants.tenancy.service import suspend_tenant
from tests.integration.api.conftest import session_of
from tests.integration.scheduling.job_helpers import submit

API = "/api/v1/"
READS = [
    "jobs/{job}/",
    "jobs/{job}/events/",
    "jobs/{job}/executions/",
    "executions/{execution}/",
    "batches/{batch}/",
    "dead-letters/{letter}/",
]
LISTS = ["jobs/", "batches/", "dead-letters/"]
WRITES = ["jobs/{job}/cancel/", "jobs/{job}/retry/", "dead-letters/{letter}/requeue/"]
SUBMISSIONS: list[tuple[str, dict[str, Any]]] = [
    ("jobs/", {"kind": "noop"}),
    ("jobs/bulk/", {"jobs": [{"kind": "noop"}]}),
]
STAFF_READS = ["queues/", "queues/dataset/"]
STAFF_WRITES: list[tuple[str, dict[str, Any]]] = [
    ("queues/dataset/pause/", {"reason": "maintenance"}),
    ("queues/dataset/resume/", {}),
]


@pytest.fixture
def rows(acme: Tenant, dead_job: Job) -> dict[str, str]:
    """Return one row of acme for each address."""
    batch = create_batch(tenant=acme, label="books", kind="noop", total=0)
    with all_tenants():
        return {
            "job": str(dead_job.id),
            "execution": str(Execution.objects.get(job_id=dead_job.id).id),
            "letter": str(DeadLetter.objects.get(job_id=dead_job.id).id),
            "batch": str(batch.id),
        }


def assert_problem(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert set(problem) == {"type", "title", "status", "code", "detail", "errors"}


@pytest.mark.parametrize("path", [*READS, *LISTS])
def test_rows_are_readable_by_members_viewers_and_staff(
    acme_api: APIClient, viewer_api: APIClient, staff_api: APIClient, rows: dict[str, str], path: str
) -> None:
    for client in (acme_api, viewer_api, staff_api):
        assert client.get(API + path.format(**rows)).status_code == 200


@pytest.mark.parametrize("path", READS)
def test_foreign_row_read_is_not_found(globex_api: APIClient, rows: dict[str, str], path: str) -> None:
    assert_problem(globex_api.get(API + path.format(**rows)), 404, "not_found")


@pytest.mark.parametrize("path", WRITES)
def test_foreign_row_write_is_not_found_and_changes_nothing(
    globex_api: APIClient, rows: dict[str, str], path: str
) -> None:
    assert_problem(globex_api.post(API + path.format(**rows)), 404, "not_found")
    with all_tenants():
        assert Job.objects.count() == 1


@pytest.mark.parametrize("path", LISTS)
def test_list_contains_no_foreign_rows(globex_api: APIClient, rows: dict[str, str], path: str) -> None:
    assert globex_api.get(API + path).json()["results"] == []


@pytest.mark.parametrize("path", [*LISTS, *READS])
def test_outsider_read_is_forbidden(outsider_api: APIClient, rows: dict[str, str], path: str) -> None:
    assert outsider_api.get(API + path.format(**rows)).status_code == 403


@pytest.mark.parametrize("path", WRITES)
def test_outsider_and_viewer_cannot_change_jobs(
    outsider_api: APIClient, viewer_api: APIClient, rows: dict[str, str], path: str
) -> None:
    for client in (outsider_api, viewer_api):
        assert client.post(API + path.format(**rows)).status_code == 403
    with all_tenants():
        assert Job.objects.count() == 1


@pytest.mark.parametrize(("path", "body"), SUBMISSIONS)
def test_outsider_and_viewer_cannot_submit(
    outsider_api: APIClient, viewer_api: APIClient, path: str, body: dict[str, Any]
) -> None:
    for client in (outsider_api, viewer_api):
        assert client.post(API + path, body).status_code == 403
    with all_tenants():
        assert not Job.objects.exists()


@pytest.mark.parametrize("path", WRITES)
def test_owner_with_a_session_can_write(acme_user: User, rows: dict[str, str], path: str) -> None:
    answer = session_of(acme_user).post(API + path.format(**rows))
    assert answer.status_code == (409 if "cancel" in path else 201)


@pytest.mark.parametrize(("path", "body"), SUBMISSIONS)
def test_staff_must_name_a_tenant_to_submit(
    staff_api: APIClient, acme: Tenant, path: str, body: dict[str, Any]
) -> None:
    assert_problem(staff_api.post(API + path, body), 400, "tenant_required")
    assert staff_api.post(API + path, body, headers={"X-Tenant": "acme"}).status_code == 201
    with all_tenants():
        assert Job.objects.get().tenant_id == acme.pk


def test_staff_naming_a_tenant_sees_only_its_rows(staff_api: APIClient, acme: Tenant, globex: Tenant) -> None:
    submit(acme)
    submit(globex)
    assert {row["tenant"] for row in staff_api.get(API + "jobs/").json()["results"]} == {"acme", "globex"}
    named = staff_api.get(API + "jobs/", headers={"X-Tenant": "globex"}).json()["results"]
    assert [row["tenant"] for row in named] == ["globex"]


@pytest.mark.parametrize("path", STAFF_READS)
def test_queues_are_visible_only_to_staff(
    staff_api: APIClient, acme_api: APIClient, viewer_api: APIClient, outsider_api: APIClient, path: str
) -> None:
    assert staff_api.get(API + path).status_code == 200
    for client in (acme_api, viewer_api, outsider_api):
        assert_problem(client.get(API + path), 403, "forbidden")


@pytest.mark.parametrize(("path", "body"), STAFF_WRITES)
def test_queues_are_paused_and_resumed_only_by_staff(
    staff_api: APIClient, acme_api: APIClient, outsider_api: APIClient, path: str, body: dict[str, Any]
) -> None:
    for client in (acme_api, outsider_api):
        assert client.post(API + path, body).status_code == 403
    assert staff_api.post(API + path, body).status_code == 200


def test_queue_is_paused_with_a_reason_and_resumed(staff_api: APIClient, acme: Tenant) -> None:
    submit(acme)
    assert_problem(staff_api.post(API + "queues/tasks_team/pause/"), 422, "invalid")
    paused = staff_api.post(API + "queues/tasks_team/pause/", {"reason": "disk"}).json()
    assert (paused["is_paused"], paused["pause_reason"]) == (True, "disk")
    numbers = {row["name"]: row for row in staff_api.get(API + "queues/").json()["results"]}
    assert numbers["tasks_team"]["is_paused"]
    resumed = staff_api.post(API + "queues/tasks_team/resume/", headers={"X-Tenant": "acme"}).json()
    assert (resumed["is_paused"], resumed["pause_reason"]) == (False, "")
    assert_problem(staff_api.get(API + "queues/nowhere/"), 404, "not_found")


def test_member_of_two_tenants_must_name_one(acme_user: User, globex: Tenant, acme: Tenant) -> None:
    add_member(tenant=globex, user=acme_user, role=Role.DEVELOPER)
    client = session_of(acme_user)
    assert_problem(client.get(API + "jobs/"), 400, "tenant_required")
    assert client.post(API + "jobs/", {"kind": "noop"}, headers={"X-Tenant": "globex"}).status_code == 201
    assert client.get(API + "jobs/", headers={"X-Tenant": "acme"}).json()["results"] == []


def test_api_key_cannot_name_another_tenant(acme_api: APIClient, globex: Tenant) -> None:
    assert acme_api.get(API + "jobs/", headers={"X-Tenant": "globex"}).status_code in (403, 404)


def test_session_write_needs_the_csrf_token(acme_user: User, acme: Tenant) -> None:
    client = session_of(acme_user, enforce_csrf_checks=True)
    assert_problem(client.post(API + "jobs/", {"kind": "noop"}), 403, "forbidden")
    with all_tenants():
        assert not Job.objects.exists()


def test_suspended_tenant_reads_but_cannot_submit(acme: Tenant, acme_api: APIClient, available_job: Job) -> None:
    suspend_tenant(tenant=acme, reason="unpaid")
    assert acme_api.get(API + "jobs/").status_code == 200
    assert_problem(acme_api.post(API + "jobs/", {"kind": "noop"}), 403, "tenant_suspended")


@pytest.mark.parametrize(
    "authorization",
    ["Api-Key", "Api-Key ", "Api-Key x", "Api-Key a.b", "Api-Key a.b.c", "Bearer abc", "Basic Zm9vOmJhcg=="],
)
def test_invalid_api_key_is_unauthenticated(db: None, authorization: str) -> None:
    answer = APIClient().get(API + "jobs/", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Api-Key"


def routes(patterns: list[URLPattern | URLResolver] | None = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every route under /api/v1/ with its view."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, path)
        elif path.startswith("api/v1/"):
            yield path, pattern.callback


PUBLIC_ROUTES = {"api/v1/schema/", "api/v1/docs/"}


def test_every_route_but_the_schema_needs_authentication(db: None) -> None:
    found = {path: view for path, view in routes() if path not in PUBLIC_ROUTES}
    # The root takes no parameters.
    found.pop("api/v1/")
    assert len(found) > 15
    for path, view in found.items():
        parameters = dict.fromkeys(re.findall(r"<(?:\w+:)?(\w+)>", path), "00000000-0000-7000-8000-000000000000")
        answers = {}
        for method in ("get", "post", "put", "patch", "delete"):
            request = getattr(APIRequestFactory(), method)("/" + path)
            answers[method] = view(request, **parameters).status_code
        assert set(answers.values()) <= {401, 405}, (path, answers)
        assert 401 in answers.values(), (path, answers)
