"""The API `tenants/me/` and `audit-log/`, their lists, and the document that describes them."""

from __future__ import annotations

import base64

import pytest
from django.core.management import call_command
from django.urls import reverse
from rest_framework.test import APIClient

from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.models import AuditLogEntry, Tenant

pytestmark = pytest.mark.django_db

ME, AUDIT = "/api/v1/tenants/me/", "/api/v1/audit-log/"


def record(tenant: Tenant, count: int, action: str = "test.done") -> None:
    with tenant_context(tenant):
        for number in range(count):
            record_audit(action=action, target=AuditTarget(type="test", id=str(number)))


def test_tenant_sees_itself_its_plan_and_its_limits(acme, api_client):
    body = api_client(acme).get(ME).json()
    assert (body["id"], body["slug"], body["status"], body["is_paused"]) == (str(acme.pk), "acme", "active", False)
    assert body["max_concurrency"] == 5
    assert body["plan"]["slug"] == body["plan"]["tier"] == "team"
    assert body["plan"]["weight"] == 2
    limits = body["plan"]["limits"]
    assert (limits["document_indexing.files_per_batch"], limits["retention.finished_jobs_days"]) == (20, 30)
    assert body["usage"].endswith("/api/v1/usage/")


def test_staff_must_name_the_tenant(acme, staff):
    client = APIClient()
    client.force_login(staff)
    assert client.get(ME).json()["code"] == "tenant_required"
    assert client.get(ME, HTTP_X_TENANT="acme").json()["slug"] == "acme"


def test_tenant_pauses_and_resumes_its_own_work(acme, api_client):
    client = api_client(acme)
    body = client.post(ME + "pause/", {"reason": "migration"}).json()
    assert (body["is_paused"], body["pause_reason"]) == (True, "migration")
    assert client.get(ME).json()["is_paused"]
    assert not client.post(ME + "resume/", {}).json()["is_paused"]
    with tenant_context(acme):
        actions = list(AuditLogEntry.objects.order_by("id").values_list("action", "actor_kind", "reason"))
    assert actions[-2:] == [("tenant.paused", "api_key", "migration"), ("tenant.resumed", "api_key", "")]


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * 501}, {"reason": ["x"]}, {"reason": "a\u202eb"}, []]
)
def test_pause_without_a_valid_reason_is_refused(body, acme, api_client):
    response = api_client(acme).post(ME + "pause/", body)
    assert response.status_code == 422
    assert response.json()["errors"]
    with all_tenants():
        assert not Tenant.objects.get(pk=acme.pk).is_paused


def test_audit_log_is_the_tenants_own_newest_first(acme, globex, api_client):
    record(globex, 1, "test.foreign")
    record(acme, 2)
    rows = api_client(acme).get(AUDIT).json()["results"]
    assert [row["target_id"] for row in rows[:3]] != []
    actions = [row["action"] for row in rows]
    assert "test.foreign" not in actions
    assert actions == ["api_key.issued", "test.done", "test.done", "tenant.created"]
    assert [row["target_id"] for row in rows[1:3]] == ["1", "0"]


def test_entry_is_found_by_its_id_unless_foreign(acme, globex, api_client):
    client = api_client(acme)
    with all_tenants():
        own = AuditLogEntry.objects.filter(tenant=acme).first()
        foreign = AuditLogEntry.objects.filter(tenant=globex).first()
    assert client.get(f"{AUDIT}{own.pk}/").json()["action"] == own.action
    for unknown in (foreign.pk, uuid7(), "0", "x", "１" * 8, f"{own.pk}".replace("-", "")):
        assert client.get(f"{AUDIT}{unknown}/").json()["code"] == "not_found"


def test_audit_log_is_filtered(acme, api_client):
    record(acme, 1, "test.done")
    client = api_client(acme)
    assert [row["action"] for row in client.get(AUDIT, {"action": "test.done"}).json()["results"]] == ["test.done"]
    assert client.get(AUDIT, {"created_before": "2020-01-01T00:00:00Z"}).json()["results"] == []
    assert client.get(AUDIT, {"created_after": "yesterday"}).status_code == 422


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_audit_log_refuses_writing_methods(method, acme, api_client):
    assert getattr(api_client(acme), method)(AUDIT, {}).status_code == 405


def test_list_pages_by_cursor_to_its_end_and_back(acme, api_client):
    record(acme, 7)
    client = api_client(acme)
    page = client.get(AUDIT, {"limit": 4, "action": "test.done"}).json()
    assert page["previous"] is None
    rest = client.get(page["next"]).json()
    assert rest["next"] is None
    ids = [row["target_id"] for row in page["results"] + rest["results"]]
    assert ids == ["6", "5", "4", "3", "2", "1", "0"]
    assert client.get(rest["previous"]).json()["results"] == page["results"]


@pytest.mark.parametrize("limit", ["0", "-1", "201", "x", "1e2", "１", "99999999999999999999", ""])
def test_limit_out_of_bounds_is_refused(limit, acme, api_client):
    response = api_client(acme).get(AUDIT, {"limit": limit})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "limit")


def test_limit_is_at_most_two_hundred(acme, api_client):
    record(acme, 201)
    assert len(api_client(acme).get(AUDIT, {"limit": "200"}).json()["results"]) == 200


def as_cursor(text: bytes) -> str:
    return base64.b64encode(text).decode()


@pytest.mark.parametrize(
    "cursor", ["x", "é", as_cursor(b"p=x"), as_cursor(b"o=x"), as_cursor(b"p=%00"), as_cursor(b"p=1&o=-5")]
)
def test_forged_cursor_is_refused(cursor, acme, api_client):
    response = api_client(acme).get(AUDIT, {"cursor": cursor})
    assert (response.status_code, response.json()["code"]) == (400, "cursor_invalid")


def test_cursor_of_another_tenant_reveals_nothing(acme, globex, api_client):
    record(acme, 3)
    record(globex, 3, "test.foreign")
    cursor = api_client(acme).get(AUDIT, {"limit": 1}).json()["next"]
    rows = api_client(globex).get(cursor.replace("limit=1", "limit=200")).json()["results"]
    assert {row["action"] for row in rows} <= {"test.foreign", "tenant.created", "api_key.issued"}


def test_document_describes_the_api_without_a_warning(tmp_path, capsys):
    target = tmp_path / "schema.yml"
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(target))
    document = target.read_text()
    assert "application/problem+json" in document
    assert "/api/v1/tenants/me/pause/:" in document
    assert "ApiKey" in document


def test_document_is_served_without_a_tenant():
    assert APIClient().get(reverse("schema")).status_code == 200
