"""Workflows and approvals in the console."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.unit.workloads.workflows.definitions import node, workflow
from workloads.workflows.models import Approval, Workflow, WorkflowVersion
from workloads.workflows.service import create_workflow

pytestmark = pytest.mark.django_db

WORKFLOWS, APPROVALS = "/admin/workflow_execution/workflow/", "/admin/workflow_execution/approval/"
INPUTS = {"name": {"type": "string"}}


@pytest.fixture
def member(acme_user: User) -> Client:
    client = Client()
    client.force_login(acme_user)
    return client


@pytest.fixture
def stranger(globex_user: User) -> Client:
    client = Client()
    client.force_login(globex_user)
    return client


@pytest.fixture
def greeting(acme: Tenant) -> Workflow:
    return create_workflow(tenant=acme, name="greet", definition=workflow(node("a"), inputs=INPUTS))


def values(definition: object, **others: str) -> dict[str, str]:
    return {"name": "greet", "description": "", "definition": json.dumps(definition), "reason": "", **others}


def test_changed_definition_is_the_next_version(member: Client, acme: Tenant) -> None:
    assert member.post(f"{WORKFLOWS}add/", values(workflow(node("a")))).status_code == 302
    with tenant_context(acme):
        made = Workflow.objects.get()
    page = f"{WORKFLOWS}{made.pk}/change/"
    assert '"template": "a"' in member.get(page).context["adminform"].form["definition"].value()
    assert member.post(page, values(workflow(node("a")), description="x")).status_code == 302
    assert member.post(page, values(workflow(node("b")), description="x", reason="b now")).status_code == 302
    with tenant_context(acme):
        numbers = WorkflowVersion.objects.order_by("number").values_list("number", "reason")
        assert list(numbers) == [(1, ""), (2, "b now")]
    assert "b now" in member.get(page).content.decode()
    assert "&quot;template&quot;: &quot;b&quot;" in member.get(f"{WORKFLOWS}{made.pk}/versions/2/").content.decode()
    assert member.get(f"{WORKFLOWS}{made.pk}/versions/3/").status_code == 404


def test_each_fault_stands_beside_the_field_with_its_location(member: Client) -> None:
    answer = member.post(f"{WORKFLOWS}add/", values(workflow(node("a", template="{{ nodes.gone.text }}"))))
    (fault,) = answer.context["adminform"].form.errors["definition"]
    assert fault.startswith("/nodes/1/config/template: ")
    assert "(unknown_variable)" in fault
    assert member.post(f"{WORKFLOWS}add/", values("no object")).status_code == 200


def test_run_is_started_with_its_inputs(member: Client, greeting: Workflow) -> None:
    page = f"{WORKFLOWS}{greeting.pk}/run/"
    assert member.get(page).status_code == 200
    refused = member.post(page, {"inputs": "{}"})
    assert refused.context["form"].errors["inputs"] == ["name is missing."]
    assert member.post(page, {"inputs": "[1]"}).context["form"].errors["inputs"] == [
        "The inputs must be a JSON object."
    ]
    assert member.post(page, {"inputs": '{"name": "Ada"}'}).status_code == 302
    with all_tenants():
        assert Job.objects.get().payload["inputs"] == {"name": "Ada"}


def test_inbox_offers_an_approval_once(member: Client, stranger: Client, greeting: Workflow) -> None:
    with all_tenants():
        tenant = Tenant.objects.get(pk=greeting.tenant_id)
    with tenant_context(tenant):
        member.post(f"{WORKFLOWS}{greeting.pk}/run/", {"inputs": '{"name": "Ada"}'})
        approval = Approval.objects.create(
            tenant=tenant,
            workflow=greeting,
            job_id=Job.objects.get().pk,
            node="ok",
            title="Send the mail?",
            text="Dear Ada",
            expires_at=timezone.now() + timedelta(days=1),
        )
    assert "Send the mail?" in member.get(f"{APPROVALS}?state=pending").content.decode()
    page = f"{APPROVALS}{approval.pk}/change/"
    assert "Dear Ada" in member.get(page).content.decode()
    assert stranger.get(page).status_code == 404
    assert stranger.post(f"{APPROVALS}{approval.pk}/act/approve/", {"reason": "x"}).status_code == 404
    assert member.post(f"{APPROVALS}{approval.pk}/act/approve/", {"reason": "fine"}).status_code == 302
    with all_tenants():
        approval.refresh_from_db()
    assert (approval.state, approval.comment) == ("approved", "fine")
    member.get(page)  # the message of the act is shown once, on the next page
    assert "Send the mail?" not in member.get(f"{APPROVALS}?state=pending").content.decode()


def test_workflow_of_another_tenant_is_not_found(stranger: Client, greeting: Workflow) -> None:
    for path in ("change/", "run/", "versions/1/"):
        assert stranger.get(f"{WORKFLOWS}{greeting.pk}/{path}").status_code == 404


def test_workflow_is_deleted_with_its_versions(member: Client, greeting: Workflow) -> None:
    assert member.post(f"{WORKFLOWS}{greeting.pk}/act/delete/", {"reason": "old"}).status_code == 302
    with all_tenants():
        assert not WorkflowVersion.objects.exists()
