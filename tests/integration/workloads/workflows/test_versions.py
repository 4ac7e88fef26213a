"""Versions of workflows: applied once at their time, refused, rolled back, withdrawn, previewed; runs keep theirs."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client

from scheduling.plans.due_versions import apply_due_versions
from tenants.context import acting_as, all_tenants, current_actor, tenant_context
from tenants.exceptions import VersionNotWaitingError
from tenants.models import AuditLogEntry, Tenant
from tenants.secrets.errors import SecretUseDeniedError
from tenants.settings.schema import forget_settings
from tenants.settings.service import change_settings
from tests.person import client_of
from tests.unit.workloads.workflows.definitions import each, node, workflow
from workloads.workflows.exceptions import WorkflowVersionNotFoundError
from workloads.workflows.models import Workflow, WorkflowVersion
from workloads.workflows.running.repository import read_version
from workloads.workflows.runs import start_run
from workloads.workflows.service import WORKFLOWS, add_version, create_workflow
from workloads.workflows.tenant_settings import MAX_DEPTH

pytestmark = pytest.mark.django_db
PAST, LATER = datetime(2001, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)
FIRST, SECOND = workflow(node("a")), workflow(node("b"))
NESTED = workflow(each("outer", [1], each("inner", [1], node("deep"))))


@pytest.fixture
def greeting(acme: Tenant) -> Workflow:
    return create_workflow(tenant=acme, name="greet", definition=FIRST)


def put_due(row: Workflow, number: int, definition: Any) -> WorkflowVersion:
    """Return a version whose time has come."""
    with tenant_context(row.tenant_id):
        return WorkflowVersion.objects.create(
            workflow=row, number=number, content=definition, before={}, after={}, effective_from=PAST
        )


def version_of(row: Workflow) -> int:
    with all_tenants():
        return Workflow.objects.get(pk=row.pk).version


def entries(tenant: Tenant) -> list[AuditLogEntry]:
    with tenant_context(tenant):
        return list(AuditLogEntry.objects.filter(action__startswith="workflow.").order_by("id"))


def test_version_holds_the_difference_of_nodes_and_edges(greeting: Workflow) -> None:
    version = add_version(workflow=greeting, definition=SECOND, note="b now")
    assert (version.number, version.reason, version.outcome) == (2, "b now", "applied")
    assert (
        set(version.before)
        == set(version.after)
        == {
            "nodes.a",
            "nodes.b",
            "edges.start → a",
            "edges.a → end",
            "edges.start → b",
            "edges.b → end",
        }
    )
    assert (version.before["nodes.a"], version.after["nodes.a"]) == (node("a"), None)


def test_waiting_version_is_applied_at_its_time_and_once(acme: Tenant, greeting: Workflow) -> None:
    waiting = add_version(workflow=greeting, definition=SECOND, effective_from=LATER)
    assert (waiting.outcome, version_of(greeting)) == ("waiting", 1)
    assert apply_due_versions() == 0
    put_due(greeting, 3, SECOND)
    assert (apply_due_versions(), apply_due_versions()) == (1, 0)
    assert version_of(greeting) == 3
    assert [(entry.action, entry.tenant_id) for entry in entries(acme)][-2:] == [
        ("workflow.version_scheduled", acme.pk),
        ("workflow.version_added", acme.pk),
    ]


def test_runs_use_the_version_in_effect(acme: Tenant, greeting: Workflow) -> None:
    before = start_run(tenant=acme, workflow=greeting, inputs={}).job
    add_version(workflow=greeting, definition=SECOND, effective_from=LATER)
    assert start_run(tenant=acme, workflow=greeting, inputs={}).job.payload["version"] == 1
    with pytest.raises(WorkflowVersionNotFoundError):
        start_run(tenant=acme, workflow=greeting, inputs={}, version=2)
    put_due(greeting, 3, SECOND)
    assert apply_due_versions() == 1
    assert before.payload["version"] == 1
    assert read_version(acme.pk, greeting.pk, None).number == 3
    assert read_version(acme.pk, greeting.pk, 1).definition == FIRST


def test_version_with_deep_templates_is_refused_and_delays_no_other(acme: Tenant, globex: Tenant) -> None:
    nested = create_workflow(tenant=acme, name="nested", definition=FIRST)
    sound = create_workflow(tenant=globex, name="sound", definition=FIRST)
    put_due(nested, 2, NESTED)
    put_due(sound, 2, SECOND)
    change_settings(tenant=acme, values={MAX_DEPTH.key: 1}, by_platform=True)
    forget_settings(acme.pk)
    assert apply_due_versions() == 1
    assert (version_of(nested), version_of(sound)) == (1, 2)
    with tenant_context(acme):
        refused = WorkflowVersion.objects.get(outcome="refused")
        assert "at most 1 deep" in refused.outcome_note
    assert entries(acme)[-1].action == "workflow.version_refused"
    assert "workflow.version_refused" not in [entry.action for entry in entries(globex)]
    assert apply_due_versions() == 0


def test_rollback_writes_the_old_definition_as_the_next_version(acme: Tenant, greeting: Workflow) -> None:
    add_version(workflow=greeting, definition=SECOND)
    version = WORKFLOWS.roll_back(greeting, 1, reason="too slow")
    assert version is not None
    assert (version.number, version.content, version_of(greeting)) == (3, FIRST, 3)
    assert (entries(acme)[-1].action, entries(acme)[-1].reason) == ("workflow.rolled_back", "too slow")


def test_rollback_to_a_definition_with_secrets_needs_their_right(acme: Tenant) -> None:
    headers = {"Authorization": "{{ secrets.api }}"}
    asks = workflow(node("ask", "http_request", url="https://api.example.com/", headers=headers))
    row = create_workflow(tenant=acme, name="asks", definition=asks)
    add_version(workflow=row, definition=FIRST)
    with acting_as(replace(current_actor(), may_use_secrets=False)), pytest.raises(SecretUseDeniedError):
        WORKFLOWS.roll_back(row, 1, reason="x")
    assert version_of(row) == 2


def test_withdrawn_version_never_takes_effect(greeting: Workflow) -> None:
    add_version(workflow=greeting, definition=SECOND, effective_from=LATER)
    WORKFLOWS.withdraw(greeting, 2, reason="not yet")
    with pytest.raises(VersionNotWaitingError):
        WORKFLOWS.withdraw(greeting, 2, reason="again")
    with tenant_context(greeting.tenant_id):
        version = WorkflowVersion.objects.get(number=2)
    assert (version.outcome, version.outcome_note, version_of(greeting)) == ("withdrawn", "not yet", 1)


@pytest.mark.parametrize(
    "change", ["content = '{}'", "effective_from = now()", "reason = 'other'", "outcome = 'waiting'"]
)
def test_database_refuses_to_change_a_version(greeting: Workflow, change: str) -> None:
    add_version(workflow=greeting, definition=SECOND, effective_from=LATER)
    with (
        tenant_context(greeting.tenant_id),
        connection.cursor() as cursor,
        pytest.raises(IntegrityError),
        transaction.atomic(),
    ):
        cursor.execute(f"UPDATE workflow_execution_workflowversion SET {change}")


def test_edition_changes_with_name_and_with_version(acme_user: User, greeting: Workflow) -> None:
    client, url = client_of(acme_user), f"/api/v1/workflows/{greeting.pk}/"
    tags = [client.get(url)["ETag"]]
    client.patch(url, {"description": "x"}, format="json")
    tags.append(client.get(url)["ETag"])
    add_version(workflow=greeting, definition=SECOND)
    tags.append(client.get(url)["ETag"])
    assert len(set(tags)) == 3


def test_api_schedules_lists_withdraws_and_rolls_back(acme_user: User, greeting: Workflow) -> None:
    client, url = client_of(acme_user), f"/api/v1/workflows/{greeting.pk}/"
    later = {"definition": SECOND, "effective_from": "2999-01-01T00:00:00Z", "based_on": 1}
    made = client.post(f"{url}versions/", later, format="json").json()
    assert (made["number"], made["outcome"]) == (2, "waiting")
    assert client.get(url).json()["latest_version"] == 1
    past = client.post(f"{url}versions/", later | {"effective_from": "2001-01-01T00:00:00Z"}, format="json")
    assert (past.status_code, past.json()["code"]) == (422, "effective_from_past")
    assert client.post(f"{url}withdraw/", {"number": 2, "reason": "x"}, format="json").status_code == 200
    client.post(f"{url}versions/", {"definition": SECOND}, format="json")
    stale = client.post(f"{url}rollback/", {"number": 1, "reason": "x", "expected_version": 1}, format="json")
    assert (stale.status_code, stale.json()["code"]) == (409, "workflow_changed")
    back = client.post(f"{url}rollback/", {"number": 1, "reason": "x"}, format="json")
    assert (back.status_code, back.json()["latest_version"]) == (200, 4)
    listed = client.get(f"{url}versions/").json()["results"]
    assert [(row["number"], row["outcome"]) for row in listed] == [
        (4, "applied"),
        (3, "applied"),
        (2, "withdrawn"),
        (1, "applied"),
    ]
    assert "before" not in listed[0]
    assert "nodes.b" in client.get(f"{url}versions/4/").json()["before"]


def test_preview_compares_counts_runs_and_writes_nothing(acme: Tenant, acme_user: User, greeting: Workflow) -> None:
    start_run(tenant=acme, workflow=greeting, inputs={})
    url = f"/api/v1/workflows/{greeting.pk}/preview/"
    shown = client_of(acme_user).post(url, {"definition": SECOND}, format="json").json()
    assert (shown["is_valid"], shown["faults"], shown["runs"]) == (True, [], {"1": 1})
    assert shown["after"]["nodes.b"] == node("b")
    faulty = {"nodes": [{"id": "start"}, 7], "edges": "none"}
    shown = client_of(acme_user).post(url, {"definition": faulty}, format="json").json()
    assert not shown["is_valid"]
    assert shown["after"]["nodes.#1"] == 7
    with tenant_context(acme):
        assert WorkflowVersion.objects.count() == 1
    assert [entry.action for entry in entries(acme)] == ["workflow.created"]


def test_console_previews_schedules_and_rolls_back(acme_user: User, greeting: Workflow) -> None:
    client, page = Client(), f"/admin/workflow_execution/workflow/{greeting.pk}/"
    client.force_login(acme_user)
    form = {"name": "greet", "description": "", "definition": json.dumps(SECOND), "reason": "b", "seen_version": "1"}
    shown = client.post(f"{page}change/", form | {"_preview": "1"}).content.decode()
    assert "nodes.b" in shown
    assert version_of(greeting) == 1
    assert client.post(f"{page}change/", form | {"effective_from": "2999-01-01T00:00"}).status_code == 302
    assert client.post(f"{page}change/", form).status_code == 302
    assert version_of(greeting) == 3
    stale = client.post(f"{page}change/", form).content.decode()
    assert "it is at version 3 now" in stale
    acts = {"reason": "x", "seen_version": "3"}
    client.post(f"{page}act/rollback/", acts | {"number": "1"})
    client.post(f"{page}act/withdraw/", acts | {"number": "2"})
    with tenant_context(greeting.tenant_id):
        outcomes = WorkflowVersion.objects.order_by("number").values_list("number", "outcome")
        assert list(outcomes) == [(1, "applied"), (2, "withdrawn"), (3, "applied"), (4, "applied")]
    assert "nodes.b" in client.get(f"{page}versions/4/").content.decode()


def test_versions_of_another_tenant_are_not_found(globex_user: User, greeting: Workflow) -> None:
    client, url = client_of(globex_user), f"/api/v1/workflows/{greeting.pk}/"
    for name, body in (
        ("rollback", {"number": 1, "reason": "x"}),
        ("withdraw", {"number": 1, "reason": "x"}),
        ("preview", {"definition": SECOND}),
    ):
        assert client.post(f"{url}{name}/", body, format="json").status_code == 404
    assert version_of(greeting) == 1


def test_command_lists_and_rolls_back_a_workflow_of_a_named_tenant(acme: Tenant, greeting: Workflow) -> None:
    add_version(workflow=greeting, definition=SECOND)
    with pytest.raises(CommandError, match="--tenant"):
        call_command("versions", "workflow", "greet")
    out = StringIO()
    call_command("versions", "workflow", "greet", tenant=acme.slug, rollback=1, reason="x", json=True, stdout=out)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(row["number"], row["is_in_effect"]) for row in rows] == [(3, True), (2, False), (1, False)]


@pytest.mark.django_db(transaction=True)
def test_one_of_many_dispatchers_applies_a_version(acme: Tenant, globex: Tenant) -> None:
    rows = [create_workflow(tenant=tenant, name="greet", definition=FIRST) for tenant in (acme, globex)]
    for row in rows:
        put_due(row, 2, SECOND)

    def look(_: int) -> int:
        try:
            return apply_due_versions()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(look, range(8))) == 2
    assert [version_of(row) for row in rows] == [2, 2]
    for tenant in (acme, globex):
        assert [entry.action for entry in entries(tenant)].count("workflow.version_added") == 1
