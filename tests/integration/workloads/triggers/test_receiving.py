"""Signed requests that start jobs: verification, mapping, deduplication, and what is recorded."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from scheduling.jobs.job_templates.service import TemplateContent, create_template
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tenants.secrets.signing import headers_of, new_secret
from tests.integration.api.conftest import session_of
from tests.integration.api.test_access import API, assert_problem
from workloads.triggers.models import TriggerDelivery
from workloads.workflows.service import create_workflow

pytestmark = pytest.mark.usefixtures("transactional_db")
BODY = {"name": "orders", "kind": "sleep", "mapping": {"seconds": {"ref": "inputs.body.wait"}}}
GRAPH = {
    "nodes": [
        {"id": "start", "type": "start", "config": {"inputs": {"city": {"type": "string"}}}},
        {"id": "end", "type": "end"},
    ],
    "edges": [{"from": "start", "to": "end"}],
}


@pytest.fixture
def owner(acme_user: User) -> APIClient:
    return session_of(acme_user)


def make(owner: APIClient, **values: Any) -> dict[str, Any]:
    answer = owner.post(API + "webhook-triggers/", BODY | values, format="json")
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def call(trigger: dict[str, Any], body: Any, query: str = "", **changes: Any) -> Any:
    """Send a signed request; ``changes`` replace the secret, the id, the time or the signed body."""
    data = json.dumps(body).encode()
    signed = headers_of(
        [changes.get("secret", trigger["secret"])],
        message_id=changes.get("message_id", uuid4().hex),
        timestamp=int(time.time()) + changes.get("shift", 0),
        body=changes.get("signed", data),
    )
    headers = {**dict(signed), **changes.get("headers", {})}
    path = f"{API}triggers/{trigger['id']}/{query}"
    return APIClient().generic("POST", path, data, content_type="application/json", headers=headers)


def deliveries(owner: APIClient, trigger: dict[str, Any]) -> list[dict[str, Any]]:
    return list(owner.get(f"{API}webhook-triggers/{trigger['id']}/deliveries/").json()["results"])


def test_signed_request_starts_a_job_of_the_kind(owner: APIClient, acme: Tenant) -> None:
    trigger = make(owner)
    answer = call(trigger, {"wait": 0})
    assert answer.status_code == 202, answer.content
    with tenant_context(acme):
        job = Job.objects.get()
        entry = AuditLogEntry.objects.get(action="job.submitted")
    assert answer.json() == {"job": str(job.pk), "is_duplicate": False}
    assert (job.kind, job.payload, job.meta) == ("sleep", {"seconds": 0}, {"trigger": "orders"})
    assert (entry.actor_kind, entry.actor_id, entry.actor_label) == ("trigger", trigger["id"], "orders")
    (row,) = deliveries(owner, trigger)
    assert (row["status"], row["job_id"], row["is_duplicate"], row["error"]) == (202, str(job.pk), False, "")


def test_replayed_request_returns_the_job_of_the_first(owner: APIClient) -> None:
    trigger = make(owner)
    first, second = (call(trigger, {"wait": 0}, message_id="one") for _ in range(2))
    assert second.json() == {"job": first.json()["job"], "is_duplicate": True}
    assert call(trigger, {"wait": 0}, message_id="two").json()["is_duplicate"] is False


def test_equal_key_of_the_body_starts_one_job(owner: APIClient) -> None:
    trigger = make(owner, deduplicate_by="inputs.body.order")
    first = call(trigger, {"wait": 0, "order": {"id": 1}})
    assert call(trigger, {"wait": 0, "order": {"id": 1}}).json()["job"] == first.json()["job"]
    assert call(trigger, {"wait": 0, "order": {"id": 2}}).json()["job"] != first.json()["job"]
    assert_problem(call(trigger, {"wait": 0}), 422, "mapping_failed")
    assert_problem(call(trigger, {"wait": 1, "order": {"id": 1}}), 422, "idempotency_mismatch")


def test_parameters_of_a_template_come_from_body_header_and_query(owner: APIClient, acme: Tenant) -> None:
    schema = {"properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {"type": "string"}}}
    payload = {"a": "{{ parameters.a }}", "b": "{{ parameters.b }} {{ parameters.c }}"}
    content = TemplateContent(kind="noop", payload=payload, parameters=schema)
    create_template(tenant=acme, name="nightly", content=content)
    mapping = {
        "a": {"ref": "inputs.body.n"},
        "b": {"ref": "inputs.headers.x_event"},
        "c": {"template": "page {{ inputs.query.page }}"},
    }
    trigger = make(owner, kind="", template="nightly", mapping=mapping, headers=["X-Event"])
    answer = call(trigger, {"n": 4}, "?page=2", headers={"X-Event": "paid", "X-Other": "no"})
    assert answer.status_code == 202, answer.content
    with tenant_context(acme):
        job = Job.objects.get()
    assert (job.payload, job.meta["template"]) == ({"a": 4, "b": "paid page 2"}, "nightly@1")
    assert_problem(call(trigger, {"n": "four"}, "?page=2", headers={"X-Event": "paid"}), 422, "parameters_invalid")


def test_workflow_is_started_with_its_inputs(owner: APIClient, acme: Tenant) -> None:
    workflow = create_workflow(tenant=acme, name="Greeting", definition=GRAPH)
    trigger = make(owner, kind="", workflow="Greeting", mapping={"city": {"ref": "inputs.body.city"}})
    answer = call(trigger, {"city": "Bonn"})
    assert answer.status_code == 202, answer.content
    with tenant_context(acme):
        job = Job.objects.get()
    assert (job.kind, job.payload["workflow_id"], job.payload["inputs"]) == (
        "workflow_execution",
        str(workflow.pk),
        {"city": "Bonn"},
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": new_secret},
        {"signed": b"{}"},
        {"shift": -301},
        {"shift": 301},
        {"headers": {"Webhook-Id": "other"}},
        {"headers": {"Webhook-Timestamp": "x"}},
        {"headers": {"Webhook-Signature": ""}},
        {"headers": {"Webhook-Signature": "v1,é " * 100}},
        {"headers": {"X-Hub-Signature-256": "sha256=0"}},
    ],
    ids=["secret", "body", "old", "early", "id", "time", "none", "letters", "github"],
)
def test_unsigned_request_is_refused_like_one_to_no_trigger(owner: APIClient, changes: dict[str, Any]) -> None:
    trigger = make(owner)
    changes = {name: value() if callable(value) else value for name, value in changes.items()}
    answer = call(trigger, {"wait": 0}, **changes)
    assert_problem(answer, 401, "signature_refused")
    absent = call(trigger | {"id": str(uuid4())}, {"wait": 0})
    assert absent.json() == answer.json()
    assert deliveries(owner, trigger) == []
    with all_tenants():
        assert not Job.objects.exists()


def test_request_beyond_the_bounds_asks_no_database(owner: APIClient) -> None:
    trigger = make(owner)
    with CaptureQueriesContext(connection) as seen:
        assert_problem(call(trigger, {"wait": 0}, shift=-301), 401, "signature_refused")
        assert call(trigger, {"wait": "x" * 70_000}).status_code == 413
    assert [query["sql"] for query in seen if "triggers_" in query["sql"]] == []


def test_deep_and_broken_bodies_are_refused_and_recorded(owner: APIClient) -> None:
    trigger = make(owner)
    deep: Any = 0
    for _ in range(40):
        deep = [deep]
    assert_problem(call(trigger, {"wait": deep}), 400, "json_invalid")
    assert_problem(call(trigger, {"wait": "long"}), 422, "payload_invalid")
    assert [row["status"] for row in deliveries(owner, trigger)] == [422, 400]
    assert "payload_invalid" in deliveries(owner, trigger)[0]["error"]


def test_secret_reference_of_a_request_is_refused(owner: APIClient) -> None:
    trigger = make(owner, kind="http_call", mapping={})
    body = {"url": "https://example.com/", "headers": {"Authorization": "Bearer {{ secrets.billing }}"}}
    answer = call(trigger, body)
    assert_problem(answer, 403, "secret_use_denied")


def test_disabled_trigger_starts_nothing(owner: APIClient) -> None:
    trigger = make(owner)
    path = f"{API}webhook-triggers/{trigger['id']}/"
    assert owner.patch(path, {"is_enabled": False}, format="json").status_code == 200
    assert_problem(call(trigger, {"wait": 0}), 409, "trigger_disabled")
    assert [row["status"] for row in deliveries(owner, trigger)] == [409]


def test_replaced_secret_is_valid_for_a_day(owner: APIClient) -> None:
    trigger = make(owner)
    answer = owner.post(f"{API}webhook-triggers/{trigger['id']}/rotate/", {"reason": "leaked"}, format="json")
    assert answer.status_code == 200, answer.content
    new = answer.json()["secret"]
    assert new != trigger["secret"]
    assert call(trigger, {"wait": 0}).status_code == 202
    assert call(trigger, {"wait": 0}, secret=new).status_code == 202
    owner.post(f"{API}webhook-triggers/{trigger['id']}/rotate/", {"reason": "again"}, format="json")
    assert call(trigger, {"wait": 0}).status_code == 401
    assert "secret" not in owner.get(f"{API}webhook-triggers/{trigger['id']}/").json()


def test_signature_of_github_is_accepted_once(owner: APIClient) -> None:
    trigger = make(owner, signature="github")
    data = b'{"wait": 0}'
    digest = hmac.new(trigger["secret"].encode(), data, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={digest}"}
    path = f"{API}triggers/{trigger['id']}/"
    answers = [
        APIClient().generic("POST", path, data, content_type="application/json", headers=headers) for _ in range(2)
    ]
    assert [one.status_code for one in answers] == [202, 202]
    assert answers[0].json()["job"] == answers[1].json()["job"]
    assert call(trigger, {"wait": 0}).status_code == 401
    altered = APIClient().generic("POST", path, b"{}", content_type="application/json", headers=headers)
    assert altered.status_code == 401


def test_last_fifty_deliveries_are_kept(owner: APIClient, acme: Tenant) -> None:
    trigger = make(owner)
    with tenant_context(acme):
        TriggerDelivery.objects.bulk_create(
            TriggerDelivery(tenant=acme, trigger_id=trigger["id"], status=202) for _ in range(60)
        )
    assert call(trigger, {"wait": 0}).status_code == 202
    with tenant_context(acme):
        assert TriggerDelivery.objects.count() == 50


def test_trigger_of_another_tenant_is_not_found(owner: APIClient, globex_user: User) -> None:
    trigger = make(owner)
    other = session_of(globex_user)
    assert other.get(f"{API}webhook-triggers/{trigger['id']}/").status_code == 404
    assert other.get(API + "webhook-triggers/").json()["results"] == []
    with_session = other.generic("POST", f"{API}triggers/{trigger['id']}/", b"{}", content_type="application/json")
    assert with_session.status_code == 401


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"kind": ""}, "kind"),
        ({"template": "nightly"}, "kind"),
        ({"kind": "webhook_delivery"}, "kind"),
        ({"kind": "", "template": "absent"}, "template"),
        ({"kind": "", "workflow": "absent"}, "workflow"),
        ({"mapping": {"a": {"ref": "nodes.a.b"}}}, "mapping"),
        ({"mapping": {"a": "{{ secrets.x }}"}}, "mapping"),
        ({"deduplicate_by": "inputs.query.id"}, "deduplicate_by"),
        ({"headers": ["Authorization"]}, "headers"),
        ({"headers": ["a b"]}, "headers"),
    ],
)
def test_trigger_that_could_start_nothing_is_refused(owner: APIClient, values: dict[str, Any], field: str) -> None:
    answer = owner.post(API + "webhook-triggers/", BODY | values, format="json")
    assert answer.status_code == 422, answer.content
    assert answer.json()["errors"][0]["field"] == field
