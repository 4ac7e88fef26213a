"""`job-templates/`: life cycle, versions, runs with parameters, and the right to run that is on the template."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from scheduling.models import Job, JobTemplate
from tenants.access.api_keys import issue_api_key
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.integration.api.conftest import session_of
from tests.integration.scheduling.job_helpers import write_version

pytestmark = pytest.mark.django_db

TEMPLATES = "/api/v1/job-templates/"
CONTENT = {
    "kind": "noop",
    "payload": {"report": "sales of {{ parameters.date }}", "limit": "{{ parameters.limit }}"},
    "parameters": {"properties": {"date": {"type": "string"}, "limit": {"type": "integer", "default": 10}}},
    "tags": ["nightly"],
    "priority": 2,
}


@pytest.fixture
def owner_api(acme_user: User) -> APIClient:
    return session_of(acme_user)


def create(client: APIClient, **changes: Any) -> dict[str, Any]:
    answer = client.post(TEMPLATES, {"name": "nightly", "content": CONTENT, **changes}, format="json")
    assert answer.status_code == 201, answer.json()
    created: dict[str, Any] = answer.json()
    return created


def run(client: APIClient, template: dict[str, Any], **body: Any) -> Any:
    return client.post(f"{TEMPLATES}{template['id']}/run/", body, format="json")


def test_template_is_created_changed_by_versions_rolled_back_and_deleted(owner_api: APIClient) -> None:
    template = create(owner_api, description="Sales")
    path = f"{TEMPLATES}{template['id']}/"
    assert (template["version"], template["content"]["kind"], template["content"]["tags"]) == (1, "noop", ["nightly"])

    changed = owner_api.post(
        f"{path}versions/", {"content": CONTENT | {"priority": 5}, "expected_version": 1}, format="json"
    )
    assert (changed.status_code, changed.json()["version"], changed.json()["content"]["priority"]) == (201, 2, 5)
    stale = owner_api.post(f"{path}versions/", {"content": CONTENT, "expected_version": 1}, format="json")
    assert (stale.status_code, stale.json()["code"]) == (409, "job_template_changed")
    newest, first = owner_api.get(f"{path}versions/").json()["results"]
    assert (newest["before"], newest["after"]) == ({"priority": 2}, {"priority": 5})
    assert first["number"] == 1

    back = owner_api.post(f"{path}rollback/", {"number": 1, "reason": "too urgent"}, format="json")
    assert (back.status_code, back.json()["version"]) == (200, 3)
    assert owner_api.get(path).json()["content"]["priority"] == 2
    assert owner_api.patch(path, {"description": "All sales"}, format="json").json()["description"] == "All sales"
    assert owner_api.delete(path).status_code == 204
    assert owner_api.get(path).status_code == 404
    with all_tenants():
        actions = AuditLogEntry.objects.filter(action__startswith="job_template").values_list("action", flat=True)
        assert set(actions) == {
            "job_template.created",
            "job_template.changed",
            "job_template.rolled_back",
            "job_template.updated",
            "job_template.deleted",
        }


def test_run_submits_a_job_that_records_template_and_version(owner_api: APIClient) -> None:
    template = create(owner_api)
    answer = run(owner_api, template, parameters={"date": "2026-11-01"})
    assert answer.status_code == 201, answer.json()
    with all_tenants():
        job = Job.objects.get(pk=answer.json()["id"])
        assert job.payload == {"report": "sales of 2026-11-01", "limit": 10}
        assert (job.kind, job.priority, list(job.tags)) == ("noop", 2, ["nightly"])
        assert job.meta == {"template": "nightly@1"}
    found = owner_api.get("/api/v1/jobs/", {"q": "meta.template:nightly@1"})
    assert [row["id"] for row in found.json()["results"]] == [answer.json()["id"]]


def test_run_by_an_older_version_and_with_an_idempotency_key(owner_api: APIClient) -> None:
    template = create(owner_api)
    owner_api.post(f"{TEMPLATES}{template['id']}/versions/", {"content": CONTENT | {"priority": 5}}, format="json")
    body = {"parameters": {"date": "2026-11-01"}, "version": 1}
    path = f"{TEMPLATES}{template['id']}/run/"
    first = owner_api.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY="2026-11-01")
    again = owner_api.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY="2026-11-01")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["priority"] == 2


def test_parameter_that_does_not_fit_is_named(owner_api: APIClient) -> None:
    answer = run(owner_api, create(owner_api), parameters={"date": "2026-11-01", "limit": "many"})
    assert (answer.status_code, answer.json()["code"]) == (422, "parameters_invalid")
    assert [fault["field"] for fault in answer.json()["errors"]] == ["$.limit"]


@pytest.mark.parametrize(
    "content",
    [
        CONTENT | {"kind": "no_such_kind"},
        CONTENT | {"payload": {"x": "{{ parameters.other }}"}},
        CONTENT | {"parameters": {"properties": {"date": {"pattern": "(a+)+"}, "limit": {}}}},
        {"kind": "sleep", "payload": {"seconds": "long"}},
    ],
)
def test_content_that_could_not_run_is_refused_when_it_is_saved(owner_api: APIClient, content: Any) -> None:
    answer = owner_api.post(TEMPLATES, {"name": "nightly", "content": content}, format="json")
    assert answer.status_code == 422, answer.json()
    with all_tenants():
        assert not JobTemplate.objects.exists()


def test_name_is_unique_in_the_tenant(owner_api: APIClient) -> None:
    create(owner_api)
    again = owner_api.post(TEMPLATES, {"name": "nightly", "content": CONTENT}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "job_template_name_taken")


def test_viewer_runs_only_templates_that_name_the_role(owner_api: APIClient, viewer_api: APIClient) -> None:
    own, shared = create(owner_api), create(owner_api, name="shared", runners=["viewer"])
    assert viewer_api.get(f"{TEMPLATES}{own['id']}/").json()["content"] is None
    assert viewer_api.get(f"{TEMPLATES}{own['id']}/").json()["parameters"] == CONTENT["parameters"]
    assert viewer_api.get(f"{TEMPLATES}{own['id']}/versions/").status_code == 403
    refused = run(viewer_api, own, parameters={"date": "2026-11-01"})
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert run(viewer_api, shared, parameters={"date": "2026-11-01"}).status_code == 201
    assert run(owner_api, shared, parameters={"date": "2026-11-01"}).status_code == 201
    assert viewer_api.post(TEMPLATES, {"name": "mine", "content": CONTENT}, format="json").status_code == 403


def test_refusal_does_not_quote_the_content_to_a_runner(owner_api: APIClient, viewer_api: APIClient) -> None:
    parameters = {"properties": {"user": {"type": "string"}}}
    payload = {"url": "https://example.com/", "headers": {"X-Token": "t0ken {{ parameters.user }}"}}
    content = {"kind": "http_call", "payload": payload, "parameters": parameters}
    template = create(owner_api, content=content, runners=["viewer"])
    refused = run(viewer_api, template, parameters={"user": "Ä"})
    assert (refused.status_code, refused.json()["code"]) == (422, "payload_invalid")
    assert "t0ken" not in refused.content.decode()
    assert "t0ken" in run(owner_api, template, parameters={"user": "Ä"}).content.decode()


def test_template_of_another_tenant_is_not_found(owner_api: APIClient, globex_api: APIClient, globex: Tenant) -> None:
    template = create(owner_api)
    assert globex_api.get(f"{TEMPLATES}{template['id']}/").status_code == 404
    assert run(globex_api, template, parameters={"date": "2026-11-01"}).status_code == 404
    assert globex_api.get(TEMPLATES).json()["results"] == []


def test_content_is_masked_for_platform_callers(owner_api: APIClient, staff_api: APIClient) -> None:
    template = create(owner_api)
    path = f"{TEMPLATES}{template['id']}/"
    changed = CONTENT | {"payload": {"report": "of {{ parameters.date }}", "token": "t0ken"}, "priority": 5}
    assert owner_api.post(f"{path}versions/", {"content": changed}, format="json").status_code == 201
    key = issue_api_key(tenant=None, name="saas", scopes=["jobs.view", "templates.manage"])
    key_api = APIClient()
    key_api.credentials(HTTP_AUTHORIZATION=f"Api-Key {key.token}", HTTP_X_TENANT="acme")
    staff_api.credentials(HTTP_X_TENANT="acme")
    for client in (key_api, staff_api):
        assert client.get(path).json()["content"] is None
        assert client.get(path).json()["parameters"] == CONTENT["parameters"]
        newest, first = client.get(f"{path}versions/").json()["results"]
        assert (newest["content"], first["content"]) == (None, None)
        masked = dict.fromkeys(("payload.report", "payload.limit", "payload.token"), "…")
        assert newest["after"] == {**masked, "priority": 5}
        renamed = client.patch(path, {"description": "Sales"}, format="json")
        assert (renamed.status_code, renamed.json()["content"]) == (200, None)
        own = create(client, name=f"own-{id(client)}")
        assert own["content"] is None
    assert owner_api.get(path).json()["content"]["payload"]["token"] == "t0ken"


def test_rollback_quotes_no_masked_payload(owner_api: APIClient) -> None:
    template = create(owner_api)
    write_version(template["id"], 2, kind="sleep", payload={"seconds": "t0ken"}, parameters={})
    path = f"{TEMPLATES}{template['id']}/"
    key = issue_api_key(tenant=None, name="saas", scopes=["jobs.view", "templates.manage"])
    key_api = APIClient()
    key_api.credentials(HTTP_AUTHORIZATION=f"Api-Key {key.token}", HTTP_X_TENANT="acme")
    refused = key_api.post(f"{path}rollback/", {"number": 2, "reason": "x"}, format="json")
    assert refused.status_code == 422
    assert "t0ken" not in refused.content.decode()
    assert "t0ken" in owner_api.post(f"{path}rollback/", {"number": 2, "reason": "x"}, format="json").content.decode()
