"""`schedules/` by job templates: what is written, read and refused, and what uses a template."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from scheduling.jobs.batches.service import open_batch
from scheduling.jobs.requests import JobRequest
from tenants.models import Tenant
from tests.person import client_of

pytestmark = pytest.mark.django_db

SCHEDULES = "/api/v1/schedules/"
DAY = {"properties": {"day": {"type": "string"}}}
BY_TEMPLATE = {"name": "by template", "template": "nightly", "payload": {"day": "monday"}, "cron": "30 2 * * *"}


@pytest.fixture
def acme_api(acme_user: User) -> APIClient:
    """Return a client with an owner's session."""
    return client_of(acme_user)


def template_of(client: APIClient, **changes: Any) -> dict[str, Any]:
    content = {"kind": "noop", "payload": {"day": "{{ parameters.day }}"}, "parameters": DAY}
    answer = client.post("/api/v1/job-templates/", {"name": "nightly", "content": content | changes}, format="json")
    assert answer.status_code == 201, answer.json()
    made: dict[str, Any] = answer.json()
    return made


def test_schedule_names_a_template_and_the_template_its_uses(acme_api: APIClient) -> None:
    template = template_of(acme_api)
    path = f"/api/v1/job-templates/{template['id']}/"
    assert acme_api.get(path).json()["used_by"] == {"schedules": [], "batches": []}
    made = acme_api.post(SCHEDULES, BY_TEMPLATE, format="json")
    assert made.status_code == 201, made.json()
    schedule = made.json()
    assert (schedule["template"], schedule["kind"], schedule["payload"]) == ("nightly", "noop", {"day": "monday"})
    job = acme_api.post(f"{SCHEDULES}{schedule['id']}/run-now/").json()
    assert acme_api.get(f"/api/v1/jobs/{job['id']}/").json()["meta"] == {"template": "nightly@1"}
    assert acme_api.get(path).json()["used_by"]["schedules"] == [{"id": schedule["id"], "name": "by template"}]

    kept = acme_api.delete(path)
    assert (kept.status_code, kept.json()["code"]) == (409, "job_template_in_use")
    assert "by template. Delete them or give them another template first." in kept.json()["detail"]
    next_fire = schedule["next_fire_at"]
    freed = acme_api.patch(f"{SCHEDULES}{schedule['id']}/", {"template": None, "payload": {}}, format="json").json()
    assert (freed["template"], freed["kind"], freed["next_fire_at"]) == (None, "noop", next_fire)
    assert acme_api.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"template": "nothing"}, "template"),
        ({"template": 7}, "template"),
        ({"template": None}, "kind"),
        ({"template": ""}, "kind"),
        ({"kind": "sleep"}, "kind"),
        ({"payload": {"day": 7}}, "payload.day"),
        ({"payload": {"day": "monday", "other": 1}}, "payload.other"),
    ],
)
def test_schedule_of_a_template_is_refused_by_field(acme_api: APIClient, changes: dict[str, Any], field: str) -> None:
    template_of(acme_api)
    refused = acme_api.post(SCHEDULES, BY_TEMPLATE | changes, format="json")
    assert refused.status_code in {400, 422}
    assert [fault["field"] for fault in refused.json()["errors"]] == [field]


def test_template_of_another_tenant_cannot_be_named(acme_api: APIClient, globex_user: User) -> None:
    template_of(acme_api)
    refused = client_of(globex_user).post(SCHEDULES, BY_TEMPLATE, format="json")
    assert refused.status_code == 422
    assert [fault["field"] for fault in refused.json()["errors"]] == ["template"]


def test_batches_with_jobs_of_a_template_are_among_its_uses(acme: Tenant, acme_api: APIClient) -> None:
    template = template_of(acme_api)
    by_template, other = JobRequest("noop", meta={"template": "nightly@1"}), JobRequest("noop")
    batch, _ = open_batch(tenant=acme, label="sales", requests=[by_template, other])
    open_batch(tenant=acme, label="other", requests=[other])
    used_by = acme_api.get(f"/api/v1/job-templates/{template['id']}/").json()["used_by"]
    assert used_by == {"schedules": [], "batches": [{"id": str(batch.pk), "label": "sales"}]}
