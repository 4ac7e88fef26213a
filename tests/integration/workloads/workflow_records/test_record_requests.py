"""Records from outside over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.access.memberships import add_member
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7, uuid7_floor
from tenants.models import Role, Tenant
from tests.conftest import PASSWORD
from tests.integration.scheduling.job_helpers import Start, Tick
from tests.integration.workloads.workflow_records.conftest import ended, later, new_job, new_node, new_run
from tests.integration.workloads.workflow_records.record_helpers import perform
from tests.person import client_of
from tests.workflow_histories import body_of
from workloads.workflows.records.api.records import MAX_GRAPH_EDGES, MAX_GRAPH_NODES, MAX_NODES
from workloads.workflows.records.drawing import MAX_BOXES
from workloads.workflows.records.models import WorkflowRun
from workloads.workflows.records.records import RecordState
from workloads.workflows.records.repository import save_records

RECORDS = "/api/v1/workflow-runs/records/"


@pytest.fixture
def body(acme: Tenant) -> dict[str, Any]:
    """Return a valid body with one node."""
    run = new_run(acme)
    return body_of(run, new_node(run))


def jobs_of(tenant: Tenant) -> int:
    with tenant_context(tenant):
        return Job.objects.count()


def graph_of(nodes: int, edges: int) -> dict[str, Any]:
    """Return a graph with cycles."""
    return {
        "nodes": [{"id": f"n{number}", "type": "template", "title": f"N{number}"} for number in range(nodes)],
        "edges": [{"source": f"n{n % nodes}", "target": f"n{n * 7 % nodes}", "label": "x"} for n in range(edges)],
    }


def test_record_is_accepted_and_read_once_its_job_has_run(
    acme: Tenant, acme_api: APIClient, tick: Tick, start: Start
) -> None:
    run = new_run(acme)
    over = later(run, state=RecordState.FAILED, error_code="refused", error_message="No.", total_steps=2)
    for record, nodes in ((over, [ended(new_node(run))]), (run, [new_node(run, tokens=5)])):
        answer = acme_api.post(RECORDS, body_of(record, *nodes))
        assert (answer.status_code, answer.json()["run"]) == (202, str(run.run_id)), answer.content
        perform(tick, start, UUID(answer.json()["job"]))

    shown = acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/").json()
    (node,) = acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/nodes/").json()["results"]

    assert (shown["state"], shown["version"], shown["is_external"]) == ("failed", 2, True)
    assert (shown["error"], shown["graph"]) == ({"code": "refused", "message": "No."}, run.graph)
    assert (shown["workflow"]["name"], shown["started_at"]) == ("Answers", "2026-01-01T12:00:00Z")
    assert (node["node"], node["state"], node["tokens"], node["run_version"]) == ("start", "succeeded", 0, 2)


def test_run_without_nodes_and_options_is_accepted(acme_api: APIClient) -> None:
    run = {"id": str(uuid7()), "workflow": {"id": str(uuid7()), "version": 1}, "version": 1, "state": "running"}

    assert acme_api.post(RECORDS, {"run": run}).status_code == 202


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("body", "tenant_id", str(UUID(int=1))),
        ("body", "nodes", [1]),
        ("body", "nodes", {}),
        ("run", "job", str(UUID(int=1))),
        ("run", "is_external", False),
        ("run", "id", str(UUID(int=4 << 76 | 2 << 62))),  # UUID version 4
        ("run", "id", 5),
        ("run", "version", 0),
        ("run", "version", 2**31),
        ("run", "version", "1"),
        ("run", "state", "paused"),
        ("run", "inputs", None),
        ("run", "inputs", []),
        ("run", "started_at", "2026-01-01T12:00:00"),
        ("run", "error", {"code": "x" * 65}),
        ("run", "workflow", {"id": 7, "version": 1}),
        ("run", "total_tokens", 2**53 + 1),
        ("run", "graph", {"nodes": []}),
        ("run", "graph", {"nodes": [{"type": "template", "title": "No id"}], "edges": []}),
        ("run", "graph", {"nodes": [], "edges": [{"source": ["a"], "target": "a"}]}),
        ("run", "graph", graph_of(1, MAX_GRAPH_EDGES + 1)),
        ("run", "graph", graph_of(MAX_GRAPH_NODES + 1, 0)),
        ("node", "run_version", 1),
        ("node", "path", [-1]),
        ("node", "path", list(range(11))),
        ("node", "node", "x" * 101),
        ("node", "node", "a\u202eb"),
        ("node", "attempt", 0),
    ],
)
def test_invalid_body_is_refused(
    acme: Tenant, acme_api: APIClient, body: dict[str, Any], part: str, field: str, value: Any
) -> None:
    changed = {"body": body, "run": body["run"], "node": body["nodes"][0]}[part]
    changed[field] = value

    answer = acme_api.post(RECORDS, body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert jobs_of(acme) == 0


def test_id_of_the_future_is_refused(acme_api: APIClient, body: dict[str, Any]) -> None:
    def answer_to(seconds: float) -> int:
        run_id = str(uuid7_floor(timezone.now() + timedelta(seconds=seconds)))
        return int(acme_api.post(RECORDS, {"run": {**body["run"], "id": run_id}}).status_code)

    assert (answer_to(240), answer_to(360)) == (202, 422)


def test_same_node_twice_is_refused(acme_api: APIClient, body: dict[str, Any]) -> None:
    node = body["nodes"][0]

    assert acme_api.post(RECORDS, {**body, "nodes": [node, {**node, "version": 2}]}).status_code == 422
    assert acme_api.post(RECORDS, {**body, "nodes": [node, {**node, "path": [0]}]}).status_code == 202


def test_more_nodes_than_a_record_allows_are_refused(acme_api: APIClient, body: dict[str, Any]) -> None:
    node = {"node": "a", "type": "t", "version": 1, "state": "running"}

    def answer_to(count: int) -> int:
        nodes = [{**node, "path": [index]} for index in range(count)]
        return int(acme_api.post(RECORDS, {**body, "nodes": nodes}).status_code)

    assert (answer_to(MAX_NODES), answer_to(MAX_NODES + 1)) == (202, 422)


def test_record_beyond_the_size_of_a_payload_is_refused(
    acme: Tenant, acme_api: APIClient, body: dict[str, Any]
) -> None:
    body["run"]["inputs"] = {"text": "x" * 256 * 1024}

    answer = acme_api.post(RECORDS, body)

    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert jobs_of(acme) == 0


@pytest.mark.parametrize("text", ['"\\u0000"', '"\\ud800"'])
def test_text_that_cannot_be_stored_is_refused(acme_api: APIClient, text: str) -> None:
    answer = acme_api.generic("POST", RECORDS, f'{{"run": {{"inputs": {{"a": {text}}}}}}}', "application/json")

    assert (answer.status_code, answer.json()["code"]) == (400, "json_invalid")


def test_reference_to_a_secret_is_refused(acme_api: APIClient, body: dict[str, Any]) -> None:
    body["run"]["inputs"] = {"text": "Bearer {{ secrets.billing }}"}

    answer = acme_api.post(RECORDS, body)

    assert (answer.status_code, answer.json()["code"]) == (422, "payload_invalid")


def test_id_of_the_platform_is_refused(acme: Tenant, acme_api: APIClient) -> None:
    run = new_run(acme)
    with tenant_context(acme):
        save_records(run)

    for taken in (run.run_id, new_job(acme).pk):
        answer = acme_api.post(RECORDS, body_of(later(new_run(acme, run_id=taken))))
        assert (answer.status_code, answer.json()["code"]) == (409, "workflow_run_taken")


def test_run_of_another_tenant_stays_hidden(
    acme: Tenant, globex: Tenant, acme_api: APIClient, tick: Tick, start: Start
) -> None:
    run = new_run(globex)
    with tenant_context(globex):
        save_records(run)

    answer = acme_api.post(RECORDS, body_of(later(run, state=RecordState.FAILED)))

    assert answer.status_code == 202
    assert perform(tick, start, UUID(answer.json()["job"])).state == "discarded"
    assert acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/").status_code == 404
    with tenant_context(globex):
        assert WorkflowRun.objects.get().state == "running"


def test_full_plan_refuses_a_record(acme: Tenant, acme_api: APIClient, body: dict[str, Any]) -> None:
    with all_tenants():
        acme.plan.max_waiting_jobs = 1
        acme.plan.save()

    assert acme_api.post(RECORDS, body).status_code == 202
    answer = acme_api.post(RECORDS, body)

    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")


def test_viewer_may_not_record(acme: Tenant, body: dict[str, Any]) -> None:
    viewer = User.objects.create_user("victor", password=PASSWORD)
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)

    assert client_of(viewer).post(RECORDS, body).status_code == 403


@pytest.mark.parametrize("nodes", [MAX_BOXES, MAX_GRAPH_NODES])
def test_page_of_the_largest_graph_is_rendered(
    acme_api: APIClient, acme_console: Client, body: dict[str, Any], tick: Tick, start: Start, nodes: int
) -> None:
    body["run"]["graph"] = graph_of(nodes, MAX_GRAPH_EDGES)
    answer = acme_api.post(RECORDS, body)
    perform(tick, start, UUID(answer.json()["job"]))

    page = acme_console.get(f"/admin/workflow_storage/workflowrun/{body['run']['id']}/change/")

    assert page.status_code == 200
    assert ("No graph of this run" in page.content.decode()) == (nodes > MAX_BOXES)
