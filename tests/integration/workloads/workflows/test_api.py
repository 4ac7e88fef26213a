"""Workflows, versions, runs and approvals over HTTP; isolation between tenants."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.workloads.workflows.conftest import Runs, reload, run_of
from tests.person import client_of
from tests.unit.workloads.workflows.definitions import node, workflow
from workloads.documents.service import create_dataset
from workloads.workflows.models import Approval, RunValue, Workflow, WorkflowVersion
from workloads.workflows.service import create_workflow


@pytest.fixture
def acme_api(acme_user: User) -> APIClient:
    """Return a client with an owner's session: payloads and approvals need a person's login."""
    return client_of(acme_user)


URL = "/api/v1/workflows/"
ASKS = workflow(node("ok", "approval", title="Send it?"), ways=["start > ok", "ok approved> end"])


def post(client: APIClient, url: str, body: dict, **headers: str):
    return client.post(url, body, format="json", headers=headers)


def make(client: APIClient, name: str = "greet", definition: object = None) -> str:
    answer = post(client, URL, {"name": name, "definition": definition or workflow(node("a"))})
    assert answer.status_code == 201, answer.json()
    return f"{URL}{answer.json()['id']}/"


@pytest.mark.django_db
class TestDefinitions:
    """Definitions, without a run."""

    def test_workflow_is_created_changed_and_deleted(self, acme_api: APIClient) -> None:
        url = make(acme_api)
        answer = acme_api.get(url)
        assert (answer.json()["name"], answer.json()["latest_version"]) == ("greet", 1)
        stale = {"If-Match": answer["ETag"]}
        assert acme_api.patch(url, {"description": "x"}, format="json", headers=stale).status_code == 200
        assert acme_api.patch(url, {"description": "y"}, format="json", headers=stale).status_code == 412
        assert acme_api.delete(url, headers=stale).status_code == 412
        assert acme_api.delete(url).status_code == 204
        assert acme_api.get(url).status_code == 404

    def test_workflow_name_is_unique_within_a_tenant(self, acme_api: APIClient, globex_api: APIClient) -> None:
        make(acme_api)
        make(globex_api)
        answer = post(acme_api, URL, {"name": "greet", "definition": workflow()})
        assert (answer.status_code, answer.json()["code"]) == (409, "workflow_name_taken")

    def test_definition_fault_is_returned_with_its_location_and_nothing_stored(self, acme_api: APIClient) -> None:
        definition = workflow(node("a", template="{{ nodes.gone.text }}"))
        answer = post(acme_api, URL, {"name": "greet", "definition": definition})
        assert (answer.status_code, answer.json()["code"]) == (422, "definition_invalid")
        assert [(fault["code"], fault["pointer"]) for fault in answer.json()["errors"]] == [
            ("unknown_variable", "/nodes/1/config/template")
        ]
        checked = post(acme_api, f"{URL}check/", {"definition": definition}).json()
        assert (checked["is_valid"], checked["faults"][0]["pointer"]) == (False, "/nodes/1/config/template")
        assert post(acme_api, f"{URL}check/", {"definition": workflow()}).json() == {"is_valid": True, "faults": []}
        with all_tenants():
            assert not Workflow.objects.exists()

    def test_schema_is_published(self, acme_api: APIClient) -> None:
        assert acme_api.get(f"{URL}schema/").json()["title"] == "Workflow"

    def test_versions_are_numbered_and_immutable(self, acme_api: APIClient, acme: Tenant) -> None:
        url = make(acme_api)
        second = workflow(node("b"))
        answer = post(acme_api, f"{url}versions/", {"definition": second, "note": "b", "based_on": 1})
        assert (answer.status_code, answer.json()["number"]) == (201, 2)
        late = post(acme_api, f"{url}versions/", {"definition": second, "based_on": 1})
        assert (late.status_code, late.json()["code"]) == (409, "workflow_changed")
        listed = acme_api.get(f"{url}versions/").json()["results"]
        assert [(row["number"], row["note"]) for row in listed] == [(2, "b"), (1, "")]
        assert "definition" not in listed[0]
        assert acme_api.get(f"{url}versions/2/").json()["definition"] == second
        assert acme_api.get(f"{url}versions/3/").status_code == 404
        with pytest.raises(IntegrityError, match="stays as it was written"), tenant_context(acme):
            WorkflowVersion.objects.filter(number=1).update(reason="changed")

    def test_rows_of_another_tenant_are_not_found(
        self, acme_api: APIClient, globex_api: APIClient, globex: Tenant
    ) -> None:
        url = make(globex_api)
        with tenant_context(globex):
            approval = Approval.objects.create(
                tenant=globex,
                workflow_id=UUID(url.split("/")[-2]),
                job_id=uuid4(),
                node="ok",
                title="?",
                expires_at="2999-01-01T00:00:00Z",
            )
        for answer in (
            acme_api.get(url),
            acme_api.patch(url, {"description": "x"}, format="json"),
            acme_api.delete(url),
            acme_api.get(f"{url}versions/"),
            acme_api.get(f"{url}versions/1/"),
            post(acme_api, f"{url}versions/", {"definition": workflow()}),
            post(acme_api, f"{url}runs/", {}),
            acme_api.get(f"/api/v1/approvals/{approval.pk}/"),
            post(acme_api, f"/api/v1/approvals/{approval.pk}/decide/", {"decision": "approved"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert acme_api.get(URL).json()["results"] == []
        assert acme_api.get("/api/v1/approvals/").json()["results"] == []
        with all_tenants():
            assert Approval.objects.get().state == "pending"


@pytest.mark.django_db(transaction=True)
class TestRuns:
    """Runs, with a worker."""

    def test_run_keeps_its_version(self, acme_api: APIClient, runs: Runs) -> None:
        inputs = {"name": {"type": "string"}}
        first = workflow(
            node("a", template="1 {{ inputs.name }}"), inputs=inputs, outputs={"t": {"ref": "nodes.a.text"}}
        )
        url = make(acme_api, definition=first)
        refused = post(acme_api, f"{url}runs/", {"inputs": {}})
        assert (refused.status_code, refused.json()["code"]) == (422, "inputs_invalid")
        assert refused.json()["errors"][0]["field"] == "inputs.name"
        answer = post(acme_api, f"{url}runs/", {"inputs": {"name": "Ada"}, "tags": ["x"]})
        assert (answer.status_code, answer.json()["version"]) == (201, 1)
        shown = acme_api.get(f"/api/v1/workflow-runs/{answer.json()['run']}/")
        assert (shown.status_code, shown.json()["state"]) == (200, "waiting")
        second = workflow(node("a", template="2"), inputs=inputs)
        assert post(acme_api, f"{url}versions/", {"definition": second}).status_code == 201
        busy = acme_api.delete(url)
        assert (busy.status_code, busy.json()["code"]) == (409, "workflow_in_use")
        with all_tenants():
            job = Job.objects.get(pk=answer.json()["job"])
        job = runs.go(job)
        assert (job.state, job.result["outputs"], job.tags) == ("completed", {"t": "1 Ada"}, ["x"])
        assert run_of(job).state == "succeeded"
        assert acme_api.delete(url).status_code == 204

    def test_approval_is_found_and_answered_once(self, acme_api: APIClient, runs: Runs) -> None:
        url = make(acme_api, definition=ASKS)
        run = post(acme_api, f"{url}runs/", {}).json()
        with all_tenants():
            job = Job.objects.get(pk=run["job"])
        assert runs.go(job).state == "suspended"
        (approval,) = acme_api.get("/api/v1/approvals/?state=pending").json()["results"]
        assert (approval["title"], approval["run"], approval["workflow_name"]) == ("Send it?", run["run"], "greet")
        decide = f"/api/v1/approvals/{approval['id']}/decide/"
        assert post(acme_api, decide, {"decision": "maybe"}).status_code == 422
        answer = post(acme_api, decide, {"decision": "approved", "comment": "go"})
        assert (answer.status_code, answer.json()["state"], answer.json()["comment"]) == (200, "approved", "go")
        again = post(acme_api, decide, {"decision": "rejected"})
        assert (again.status_code, again.json()["code"]) == (409, "approval_ended")
        assert runs.go(job).state == "completed"
        assert acme_api.get("/api/v1/approvals/?state=pending").json()["results"] == []
        assert acme_api.get("/api/v1/approvals/?colour=red").status_code in {400, 422}

    @pytest.mark.parametrize("how", ["dataset", "workflow", "value"])
    def test_node_cannot_reach_another_tenants_rows(self, acme: Tenant, globex: Tenant, runs: Runs, how: str) -> None:
        if how == "dataset":
            theirs = create_dataset(tenant=globex, name="secret")
            search = node("s", "knowledge_retrieval", dataset=str(theirs.pk), query="x", mode="text")
            job = runs.run(acme, workflow(search))
            assert (job.state, job.error_type) == ("discarded", "not_found")
            return
        other = create_workflow(tenant=globex, name="theirs", definition=workflow())
        if how == "workflow":
            (job,) = submit(acme, kind="workflow_execution", payload={"workflow_id": str(other.pk), "version": 1})
            job = runs.go(job)
            assert (job.state, job.error_type) == ("discarded", "workflow_not_found")
            return
        # A state that names a value of another tenant's run: row-level security hides it.
        job = runs.start(
            acme,
            workflow(
                node("wait", "delay", seconds=0.2),
                node("a", template="{{ inputs.x }}"),
                inputs={"x": {"type": "string"}},
            ),
            {"x": "x" * 9_000},
        )
        with tenant_context(globex):
            RunValue.objects.create(tenant=globex, job_id=job.pk, number=7, storage_key="a/b", sha256="0" * 64)
        with all_tenants():
            row = Job.objects.get(pk=job.pk)
            row.checkpoint = {
                "format": 1,
                "workflow_version": 1,
                "inputs": 7,
                "steps": {},
                "version": 1,
                "step_count": 0,
                "tokens": 0,
                "active_seconds": 0.0,
                "started_at": 0.0,
                "values": 7,
            }
            row.save(update_fields=["checkpoint"])
        job = runs.go(reload(job))
        assert (job.state, job.error_type) == ("discarded", "value_gone")
