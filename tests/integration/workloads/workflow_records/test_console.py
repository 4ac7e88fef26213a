"""Runs in the console."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tenants.access.memberships import add_member
from tenants.context import tenant_context
from tenants.database.ids import uuid7
from tenants.models import AuditLogEntry, Role, Tenant
from tests.conftest import PASSWORD
from tests.integration.workloads.workflow_records.conftest import ended, later, new_job, new_node, new_run
from tests.polled import is_answered_304
from workloads.workflows.records.records import RecordState, RunRecord
from workloads.workflows.records.repository import save_external_record, save_records

RUNS = "/admin/workflow_storage/workflowrun/"
SECRET = "cheese and onions"


@pytest.fixture
def run(acme: Tenant) -> RunRecord:
    """Return a run with an ended node, two passes of one, and one that never started."""
    job = new_job(acme)
    run = new_run(acme, job_id=job.pk, inputs={"question": SECRET})
    start = new_node(run)
    with tenant_context(acme):
        save_records(run, [start])
        run = later(run, total_tokens=1_234, total_steps=4)
        failed = {"error_code": "llm_refused", "error_message": "The model said no."}
        passes = [
            new_node(run, "ask", path=(0,), state=RecordState.SUCCEEDED, tokens=7),
            new_node(run, "ask", path=(1,), state=RecordState.FAILED, attempt=3, **failed),
        ]
        save_records(run, [ended(start, outputs={"text": SECRET}), *passes])
    return run


def page_of(run: RunRecord) -> str:
    return f"{RUNS}{run.run_id}/change/"


def test_run_page_shows_graph_and_timeline_and_no_values(acme_console: Client, run: RunRecord) -> None:
    answer = acme_console.get(page_of(run))

    page = answer.content.decode()
    assert answer.status_code == 200
    states = dict(re.findall(r'data-node="(\w+)" data-state="(\w*)"', page))
    assert states == {"start": "succeeded", "each": "", "ask": "failed"}
    assert "Inside “Each”" in page
    assert page.count("console-gantt-bar") == 3
    for words in ("ask.1", "attempt 3", "llm_refused", "The model said no.", "1,234", "masked", "question"):
        assert words in page
    assert f"/admin/scheduling/job/{run.job_id}/change/" in page
    assert SECRET not in page


def test_run_fragment_is_polled_until_the_run_has_ended(acme_console: Client, acme: Tenant, run: RunRecord) -> None:
    body = f"{RUNS}{run.run_id}/body/"
    assert f'hx-get="{body}"' in acme_console.get(page_of(run)).content.decode()
    first = acme_console.get(body)
    seen = {"If-None-Match": first["ETag"]}
    assert is_answered_304(acme_console, body)

    with tenant_context(acme):
        save_records(later(run, state=RecordState.FAILED, ended_at=run.started_at))

    assert acme_console.get(body, headers=seen).status_code == 200
    assert body not in acme_console.get(page_of(run)).content.decode()


def test_values_are_revealed_for_a_reason(acme_console: Client, acme: Tenant, run: RunRecord) -> None:
    act = f"{RUNS}{run.run_id}/act/reveal/"
    assert acme_console.post(act, {"reason": " "}).status_code == 302

    answer = acme_console.post(act, {"reason": "a customer asks"})

    assert answer.status_code == 200
    assert answer.content.decode().count(SECRET) == 2
    assert "no-store" in answer["Cache-Control"]
    with tenant_context(acme):
        entry = AuditLogEntry.objects.get(action="workflow_run.revealed")
    assert (entry.target_id, entry.reason) == (str(run.run_id), "a customer asks")


def test_viewer_sees_the_run_and_may_not_reveal_it(acme: Tenant, run: RunRecord) -> None:
    viewer = User.objects.create_user("victor", password=PASSWORD, is_staff=True)
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    client = Client()
    client.force_login(viewer)

    assert "Reveal values" not in client.get(page_of(run)).content.decode()
    assert client.post(f"{RUNS}{run.run_id}/act/reveal/", {"reason": "x"}).status_code == 403


def test_empty_list_states_that_nothing_has_run(acme_console: Client) -> None:
    assert "No workflow runs yet" in acme_console.get(RUNS).content.decode()


def test_run_list_is_searched_by_ids_and_filtered_by_state(acme_console: Client, run: RunRecord) -> None:
    row = page_of(run)
    for found in ({}, {"q": run.run_id}, {"q": run.job_id}, {"q": run.workflow_id}, {"state": "waiting"}):
        assert row in acme_console.get(RUNS, found).content.decode(), found
    for missed in ({"q": uuid7()}, {"q": "Answers"}, {"state": "failed"}):
        assert row not in acme_console.get(RUNS, missed).content.decode(), missed


def test_run_without_graph_and_nodes_is_explained(acme_console: Client, acme: Tenant) -> None:
    run = new_run(acme, graph=None, started_at=None)
    with tenant_context(acme):
        save_records(run)

    page = acme_console.get(page_of(run)).content.decode()

    assert "No graph of this run" in page
    assert "No nodes have started" in page


def test_page_of_a_run_from_outside_says_so(acme_console: Client, acme: Tenant) -> None:
    run = new_run(acme, is_external=True)
    with tenant_context(acme):
        save_external_record(run, [])

    page = acme_console.get(page_of(run)).content.decode()

    assert "Recorded from outside the platform" in page
    assert "Nodes appear as soon as they are recorded." in page


def test_hostile_text_of_a_graph_is_escaped(acme_console: Client, acme: Tenant) -> None:
    bad = '"><script>alert(1)</script>'
    graph = {"nodes": [{"id": bad, "title": bad, "type": bad}], "edges": [{"source": bad, "target": bad, "label": bad}]}
    run = new_run(acme, graph=graph, workflow_name=bad)
    with tenant_context(acme):
        save_records(run, [new_node(run, bad[:100], error_code="x", error_message=bad)])

    assert "<script>alert" not in acme_console.get(page_of(run)).content.decode()
    assert "<script>alert" not in acme_console.get(RUNS).content.decode()


@pytest.mark.parametrize("path", ["x/change/", f"{UUID(int=1)}/change/", f"{UUID(int=1)}/body/"])
def test_unknown_run_is_not_found(acme_console: Client, path: str) -> None:
    assert acme_console.get(f"{RUNS}{path}").status_code == 404


def test_run_of_another_tenant_is_visible_only_to_staff(
    globex_user: User, staff_console: Client, run: RunRecord
) -> None:
    client = Client()
    client.force_login(globex_user)

    assert client.get(page_of(run)).status_code == 404
    assert client.get(f"{RUNS}{run.run_id}/body/").status_code == 404
    assert client.post(f"{RUNS}{run.run_id}/act/reveal/", {"reason": "x"}).status_code == 404
    assert staff_console.get(page_of(run)).status_code == 200
    assert "Acme" in staff_console.get(RUNS).content.decode()


def test_run_pages_cannot_change_a_run(acme_console: Client, run: RunRecord) -> None:
    assert acme_console.post(page_of(run), {}).status_code == 403
    assert acme_console.post(f"{RUNS}{run.run_id}/body/", {}).status_code == 405
    assert acme_console.get(f"{RUNS}add/").status_code == 403
