"""Runs over HTTP."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.access.permissions import Permission
from tenants.context import tenant_context
from tenants.database.ids import uuid7
from tenants.models import AuditLogEntry, Tenant
from tests.integration.workloads.workflow_records.conftest import ended, later, new_job, new_node, new_run
from tests.keys import issue_api_key
from tests.person import client_of
from workloads.workflows.records.models import NodeRun, WorkflowRun
from workloads.workflows.records.records import RecordState, RunRecord
from workloads.workflows.records.repository import save_records


@pytest.fixture
def acme_api(acme_user: User) -> APIClient:
    """Return a client with an owner's session: payloads and approvals need a person's login."""
    return client_of(acme_user)


def put(tenant: Tenant, run: RunRecord, *nodes: object) -> RunRecord:
    with tenant_context(tenant):
        save_records(run, nodes)  # type: ignore[arg-type]
    return run


@pytest.fixture
def viewer_api(acme: Tenant) -> APIClient:
    """Return a client that may read jobs but not their payloads."""
    client = APIClient()
    issued = issue_api_key(tenant=acme, name="viewer", scopes=[Permission.JOBS_VIEW])
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {issued.token}")
    return client


def test_run_is_returned_with_its_values_and_its_graph(acme: Tenant, acme_api: APIClient) -> None:
    job = new_job(acme)
    run = put(acme, new_run(acme, job_id=job.pk, total_tokens=9))

    answer = acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/")

    assert answer.status_code == 200
    returned = answer.json()
    assert returned["workflow"] == {"id": str(run.workflow_id), "version": 3, "name": "Answers"}
    assert (returned["job"], returned["state"], returned["version"], returned["is_external"]) == (
        str(job.pk),
        "waiting",  # its job has no slot
        1,
        False,
    )
    assert returned["inputs"] == {
        "size_bytes": len('{"question":"why?"}'),
        "keys": ["question"],
        "is_preview": False,
        "content": {"question": "why?"},
        "preview": "",
    }
    assert returned["outputs"] is None
    assert returned["graph"] == run.graph
    assert (returned["total_tokens"], returned["error"], returned["ended_at"]) == (9, None, None)


def test_values_are_masked_without_the_right_to_reveal_them(acme: Tenant, viewer_api: APIClient) -> None:
    run = new_run(acme)
    put(acme, run, new_node(run, inputs={"text": "x" * 20_000}))

    returned = viewer_api.get(f"/api/v1/workflow-runs/{run.run_id}/").json()
    (node,) = viewer_api.get(f"/api/v1/workflow-runs/{run.run_id}/nodes/").json()["results"]
    alone = viewer_api.get(f"/api/v1/workflow-runs/{run.run_id}/nodes/{node['id']}/").json()

    assert (returned["inputs"]["content"], returned["inputs"]["keys"]) == (None, ["question"])
    for masked in (node, alone):
        assert masked["inputs"] == {
            "size_bytes": 20_011,
            "keys": [],
            "is_preview": True,
            "content": None,
            "preview": "",
        }


def test_large_values_are_complete_in_details_and_previews_in_lists(acme: Tenant, acme_api: APIClient) -> None:
    value = {"text": "x" * 20_000}
    run = new_run(acme, inputs=value)
    put(acme, run, new_node(run, inputs=value))

    (listed,) = acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/nodes/").json()["results"]
    assert (listed["inputs"]["is_preview"], listed["inputs"]["content"]) == (True, None)
    assert listed["inputs"]["preview"].startswith('{"text":"xxx')
    alone = acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/nodes/{listed['id']}/").json()
    assert (alone["inputs"]["is_preview"], alone["inputs"]["content"]) == (False, value)
    assert acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/").json()["inputs"]["content"] == value


def test_value_with_a_missing_file_is_returned_as_a_preview(
    acme: Tenant, acme_api: APIClient, files_root: Path
) -> None:
    run = put(acme, new_run(acme, inputs={"text": "x" * 20_000}))
    for path in files_root.rglob("*"):
        if path.is_file():
            path.unlink()

    answer = acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/")

    assert answer.status_code == 200
    assert answer.json()["inputs"]["is_preview"] is True


def test_nodes_are_listed_oldest_first_by_pages(acme: Tenant, acme_api: APIClient) -> None:
    run = new_run(acme)
    first = new_node(run, "a")
    put(acme, run, first)
    put(acme, later(run), ended(first, tokens=3), new_node(run, "b", path=(1,)), new_node(run, "c"))

    page = acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/nodes/", {"limit": 2}).json()
    rest = acme_api.get(page["next"]).json()

    assert [node["node"] for node in page["results"]] == ["a", "b"]
    assert [node["node"] for node in rest["results"]] == ["c"]
    assert rest["next"] is None
    assert page["results"][0] | {"id": "", "inputs": None} == {
        "id": "",
        "node": "a",
        "path": [],
        "type": "template",
        "state": "succeeded",
        "version": 2,
        "run_version": 2,
        "attempt": 1,
        "error": None,
        "started_at": "2026-01-01T12:00:00Z",
        "ended_at": "2026-01-01T12:00:02Z",
        "elapsed_seconds": 2.0,
        "tokens": 3,
        "inputs": None,
        "outputs": {
            "size_bytes": 14,
            "keys": ["text"],
            "is_preview": False,
            "content": {"text": "bye"},
            "preview": "",
        },
    }
    assert page["results"][1]["path"] == [1]


@pytest.mark.parametrize(
    ("job_state", "shown", "code"),
    [
        ("cancelled", "cancelled", "cancelled"),
        ("discarded", "failed", "discarded"),
        ("quarantined", "failed", "quarantined"),
        ("suspended", "paused", None),
        ("executing", "running", None),
    ],
)
def test_run_of_an_ended_job_is_shown_ended_with_nodes(
    acme: Tenant, acme_api: APIClient, job_state: str, shown: str, code: str | None
) -> None:
    job = new_job(acme)
    run = new_run(acme, job_id=job.pk)
    put(acme, run, new_node(run, "open"), new_node(run, "done", state=RecordState.SUCCEEDED))
    with tenant_context(acme):
        finished_at = timezone.now() if job_state in ("cancelled", "discarded", "quarantined") else None
        Job.objects.filter(pk=job.pk).update(state=job_state, finished_at=finished_at)

    returned = acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/").json()
    nodes = acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/nodes/").json()["results"]

    assert (returned["state"], returned["error"] and returned["error"]["code"]) == (shown, code)
    assert {node["node"]: node["state"] for node in nodes} == {
        "open": "cancelled" if code else shown,
        "done": "succeeded",
    }


def test_recorded_end_of_a_run_overrides_that_of_its_job(acme: Tenant, acme_api: APIClient) -> None:
    job = new_job(acme)
    run = new_run(acme, job_id=job.pk, state=RecordState.FAILED, error_code="llm_refused", error_message="No.")
    put(acme, run)
    with tenant_context(acme):
        Job.objects.filter(pk=job.pk).update(state="discarded", finished_at=timezone.now(), error_type="Other")

    returned = acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/").json()

    assert returned["error"] == {"code": "llm_refused", "message": "No."}


def test_runs_are_listed_newest_first_and_filtered(acme: Tenant, acme_api: APIClient) -> None:
    job = new_job(acme)
    old = put(acme, new_run(acme, state=RecordState.SUCCEEDED))
    mine = put(acme, new_run(acme, job_id=job.pk))
    other = put(acme, new_run(acme, workflow_id=UUID(int=8), state=RecordState.WAITING))

    def listed(**filters: object) -> list[str]:
        answer = acme_api.get("/api/v1/workflow-runs/", filters)
        assert answer.status_code == 200, answer.content
        return [run["id"] for run in answer.json()["results"]]

    ids = [str(run.run_id) for run in (other, mine, old)]
    assert listed() == ids
    assert listed(state="waiting") == ids[:2]
    assert listed(state="succeeded") == [ids[2]]
    assert listed(workflow=str(UUID(int=8))) == [ids[0]]
    assert listed(job=str(job.pk)) == [ids[1]]
    assert listed(created_after=(timezone.now() + timedelta(minutes=1)).isoformat()) == []
    assert listed(created_before=(timezone.now() + timedelta(minutes=1)).isoformat()) == ids
    with tenant_context(acme):
        Job.objects.filter(pk=job.pk).update(state="discarded", finished_at=timezone.now())
    assert listed(state="failed") == [ids[1]]
    assert listed(state="waiting") == [ids[0]]
    assert "inputs" not in acme_api.get("/api/v1/workflow-runs/").json()["results"][0]


def test_run_list_links_to_its_next_page(acme: Tenant, acme_api: APIClient) -> None:
    runs = [put(acme, new_run(acme)) for _ in range(3)]

    page = acme_api.get("/api/v1/workflow-runs/", {"limit": 2, "state": "running"}).json()
    rest = acme_api.get(page["next"]).json()

    found = [run["id"] for run in (*page["results"], *rest["results"])]
    assert found == [str(run.run_id) for run in reversed(runs)]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"state": "asleep"}, 422),
        ({"workflow": "x"}, 422),
        ({"created_after": "yesterday"}, 422),
        ({"name": "x"}, 422),
        ({"cursor": "x"}, 400),
    ],
)
def test_invalid_filter_is_refused(acme_api: APIClient, query: dict[str, str], status: int) -> None:
    answer = acme_api.get("/api/v1/workflow-runs/", query)

    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"


def test_run_of_another_tenant_is_not_found(acme: Tenant, globex_api: APIClient) -> None:
    run = new_run(acme)
    put(acme, run, new_node(run))
    with tenant_context(acme):
        node = NodeRun.objects.get()

    for path in ("", "nodes/", f"nodes/{node.pk}/"):
        assert globex_api.get(f"/api/v1/workflow-runs/{run.run_id}/{path}").status_code == 404
    assert globex_api.get("/api/v1/workflow-runs/").json()["results"] == []


def test_node_of_another_run_is_not_found(acme: Tenant, acme_api: APIClient) -> None:
    run, other = new_run(acme), new_run(acme)
    put(acme, run, new_node(run))
    put(acme, other)
    with tenant_context(acme):
        node = NodeRun.objects.get()

    assert acme_api.get(f"/api/v1/workflow-runs/{other.run_id}/nodes/{node.pk}/").status_code == 404
    assert acme_api.get(f"/api/v1/workflow-runs/{run.run_id}/nodes/{uuid7()}/").status_code == 404


def test_values_read_by_the_platform_are_audited(acme: Tenant, staff: User) -> None:
    run = put(acme, new_run(acme))

    client = APIClient()
    client.force_login(staff)

    answer = client.get(f"/api/v1/workflow-runs/{run.run_id}/", headers={"X-Tenant": "acme"})

    assert answer.status_code == 200

    with tenant_context(acme):
        entry = AuditLogEntry.objects.get(action="workflow_run.revealed")
        assert (entry.target_id, entry.reason) == (str(run.run_id), "Read over the API.")
        assert WorkflowRun.objects.count() == 1
