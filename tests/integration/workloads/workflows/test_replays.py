"""A replay of an ended run keeps the outputs of nodes before the chosen one, and runs the others again."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from scheduling.compensation.models import Compensation
from scheduling.jobs.retries import retry_job
from scheduling.models import Job
from tenants.audit.models import AuditLogEntry
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.workloads.workflows.conftest import Runs, nodes_of, reload, run_of
from tests.model_server import ModelServer
from tests.person import client_of
from tests.unit.workloads.workflows.definitions import condition, each, node, workflow
from workloads.workflows.models import Workflow
from workloads.workflows.records.models import NodeRun, WorkflowRun
from workloads.workflows.records.records import RecordState, RunRecord
from workloads.workflows.records.repository import save_records
from workloads.workflows.running import replays
from workloads.workflows.service import add_version, create_workflow

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = {"word": {"type": "string"}, "mark": {"type": "string", "required": False}}


def ask(name: str, prompt: str = "", **fields: Any) -> dict[str, Any]:
    return node(name, "llm", prompt=prompt or name, retry={"max_retries": 0}, **fields)


@pytest.fixture
def api(acme_user: User) -> APIClient:
    return client_of(acme_user)


def replay(api: APIClient, job: Job, name: str, *, key: str | None = None, **body: Any):
    headers = {} if key is None else {"Idempotency-Key": key}
    url = f"/api/v1/workflow-runs/{job.pk}/replay/"
    return api.post(url, {"node": name, **body}, format="json", headers=headers)


def follow(runs: Runs, answer: Any) -> Job:
    assert answer.status_code == 201, answer.json()
    return runs.go(reload(Job(pk=answer.json()["job"])))


@pytest.fixture
def done(runs: Runs, acme: Tenant, model: ModelServer) -> Job:
    """Return a run of three calls that has succeeded; the output of the first is large."""
    model.reply = lambda body: "x" * (20_000 if body["messages"][-1]["content"].startswith("a") else 3)
    calls = [ask("a"), ask("b", "b {{ nodes.a.text | length }}"), ask("c", "c {{ inputs.word }} {{ nodes.b.text }}")]
    outputs = {name: {"ref": f"nodes.{name}.text"} for name in ("a", "b", "c")}
    job = runs.run(acme, workflow(*calls, inputs=WORDS, outputs=outputs), {"word": "hi"})
    assert (job.state, model.prompts) == ("completed", ["a", "b 20000", "c hi xxx"])
    return job


def test_replay_of_succeeded_run_keeps_nodes_before_the_chosen_one(
    runs: Runs, model: ModelServer, api: APIClient, done: Job
) -> None:
    before = [*nodes_of(done).values(), run_of(done)]
    answer = replay(api, done, "b")
    assert (answer.json()["kept"], answer.json()["run_again"]) == (["start", "a"], ["b", "c", "end"])
    new = follow(runs, answer)
    assert (new.state, model.prompts[3:]) == ("completed", ["b 20000", "c hi xxx"])
    assert new.result["outputs"] == reload(done).result["outputs"]
    assert (run_of(new).replay_of, run_of(new).total_steps) == (done.pk, 3)
    assert {name: row.state for name, row in nodes_of(new).items()} == dict.fromkeys(
        ["start", "a", "b", "c", "end"], "succeeded"
    )
    assert [row.version for row in [*nodes_of(done).values(), run_of(done)]] == [row.version for row in before]
    assert api.get(f"/api/v1/workflow-runs/{new.pk}/").json()["replay_of"] == str(done.pk)
    assert faults_of("ledger") == []


def test_edited_inputs_and_outputs_reach_the_nodes_that_run_again(
    runs: Runs, model: ModelServer, api: APIClient, done: Job
) -> None:
    answer = replay(api, done, "c", inputs={"word": "bye"}, outputs={"b": {"text": "edited"}})
    new = follow(runs, answer)
    assert model.prompts[3:] == ["c bye edited"]
    assert new.result["outputs"]["b"] == "edited"
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="workflow_run.replayed")
        assert entry.target_id == str(done.pk)
        assert (entry.after["job"], entry.after["node"]) == (str(new.pk), "c")
        assert (entry.after["edited_inputs"], entry.after["edited_outputs"]) == (["word"], ["b"])
        assert "edited" not in str(entry.after.values()).replace("edited_", "")
        assert run_of(new).inputs == {"word": "bye", "mark": None}
        assert run_of(done).inputs == {"word": "hi", "mark": None}


def test_failed_run_is_replayed_from_a_node_before_the_failed_one(
    runs: Runs, acme: Tenant, model: ModelServer, api: APIClient
) -> None:
    model.refused = ("three",)
    job = runs.run(acme, workflow(ask("one"), ask("two"), ask("three")))
    assert job.state == "discarded"
    model.refused = ()
    assert follow(runs, replay(api, job, "two")).state == "completed"
    assert model.prompts == ["one", "two", "three", "two", "three"]


def test_requeued_replay_continues_with_what_it_kept(
    runs: Runs, acme: Tenant, model: ModelServer, api: APIClient, done: Job
) -> None:
    model.refused = ("c hi xxx",)
    failed = follow(runs, replay(api, done, "b"))
    assert failed.state == "discarded"
    model.refused = ()
    with tenant_context(acme):
        again = retry_job(job_id=failed.pk).job
    assert runs.go(again).state == "completed"
    assert model.prompts[3:] == ["b 20000", "c hi xxx", "c hi xxx"]


def test_parallel_branch_and_taken_case_are_kept(runs: Runs, acme: Tenant, model: ModelServer, api: APIClient) -> None:
    choose = condition("choose", ("yes", "inputs.word", "eq", "go"))
    ways = ["start > choose", "choose yes> left", "choose else> right", "left > last", "right > last", "start > side"]
    job = runs.run(
        acme,
        workflow(
            choose, ask("left"), ask("right"), ask("side"), ask("last"), inputs=WORDS,
            ways=[*ways, "side > end", "last > end"],
        ),
        {"word": "go"},
    )  # fmt: skip
    assert sorted(model.prompts) == ["last", "left", "side"]
    answer = replay(api, job, "last")
    assert set(answer.json()["kept"]) == {"start", "choose", "left", "side"}
    new = follow(runs, answer)
    assert (new.state, nodes_of(new)["right"].state, sorted(model.prompts)) == (
        "completed", "skipped", ["last", "last", "left", "side"],
    )  # fmt: skip
    refused = replay(api, job, "last", outputs={"choose": {"case": "else"}})
    assert (refused.status_code, refused.json()["code"]) == (422, "outputs_invalid")
    other = follow(runs, replay(api, job, "choose", inputs={"word": "stop"}))
    assert (nodes_of(other)["left"].state, nodes_of(other)["right"].state) == ("skipped", "succeeded")


def test_whole_iteration_is_kept_or_run_again(runs: Runs, acme: Tenant, model: ModelServer, api: APIClient) -> None:
    definition = workflow(
        each("each", ["p", "q"], ask("call", "{{ item }}")), ask("last"), outputs={"all": {"ref": "nodes.each.results"}}
    )
    job = runs.run(acme, definition)
    assert model.prompts == ["p", "q", "last"]
    assert follow(runs, replay(api, job, "last")).result["outputs"] == reload(job).result["outputs"]
    follow(runs, replay(api, job, "each"))
    assert model.prompts[3:] == ["last", "p", "q", "last"]
    inner = replay(api, job, "call")
    assert (inner.status_code, inner.json()["code"]) == (422, "node_in_iteration")


def test_later_version_runs_changed_nodes_again(
    runs: Runs, acme: Tenant, model: ModelServer, api: APIClient, done: Job
) -> None:
    with tenant_context(acme):
        made = Workflow.objects.get(pk=done.payload["workflow_id"])
        content = {**made.versions.get().content}
        content["nodes"] = [
            {**one, "config": {"prompt": "new b"}} if one["id"] == "b" else one for one in content["nodes"]
        ]
        add_version(workflow=made, definition=content)
    assert follow(runs, replay(api, done, "c")).payload["version"] == 1
    new = follow(runs, replay(api, done, "c", version=2))
    assert (new.payload["version"], model.prompts[4:]) == (2, ["new b", "c hi xxx"])
    assert replay(api, done, "c", version=9).status_code == 404


def test_key_returns_the_first_replay(api: APIClient, done: Job) -> None:
    first, second = (replay(api, done, "c", key="once") for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    other = replay(api, done, "b", key="once")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    with all_tenants():
        assert AuditLogEntry.objects.filter(action="workflow_run.replayed").count() == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"node": "gone"}, 422, "node_unknown"),
        ({"node": "c", "inputs": {"word": 5}}, 422, "inputs_invalid"),
        ({"node": "c", "inputs": {"strange": 5}}, 422, "inputs_invalid"),
        ({"node": "b", "outputs": {"c": {"text": "x"}}}, 422, "outputs_invalid"),
        ({"node": "b", "outputs": {"start": {"word": "x"}}}, 422, "outputs_invalid"),
        ({"node": "b", "outputs": {"a": {"strange": "x"}}}, 422, "outputs_invalid"),
        ({"node": "b", "outputs": {"a": "text"}}, 422, "not_a_dict"),
        ({"node": "b", "outputs": {"a": {"text": "x" * 300_000}}}, 413, "payload_too_large"),
        ({"inputs": {}}, 422, "required"),
    ],
)
def test_invalid_replay_is_refused_by_name(
    api: APIClient, done: Job, body: dict[str, Any], status: int, code: str
) -> None:
    answer = api.post(f"/api/v1/workflow-runs/{done.pk}/replay/", body, format="json")
    assert answer.status_code == status, answer.json()
    assert code in {answer.json()["code"], *(fault["code"] for fault in answer.json().get("errors", ()))}
    with all_tenants():
        assert Job.objects.filter(payload__has_key="replay").count() == 0


def test_open_run_is_refused(runs: Runs, acme: Tenant, api: APIClient) -> None:
    job = runs.run(acme, workflow(node("ok", "approval", title="Go?"), ways=["start > ok > end"]))
    answer = replay(api, job, "ok")
    assert (answer.status_code, answer.json()["code"]) == (409, "run_not_ended")


def test_outputs_that_are_gone_are_named(
    runs: Runs, api: APIClient, done: Job, monkeypatch: pytest.MonkeyPatch, files_root: Any
) -> None:
    monkeypatch.setattr(replays, "MAX_KEPT_BYTES", 10_000)
    large = replay(api, done, "b")
    assert (large.status_code, large.json()["code"]) == (422, "outputs_too_large")
    monkeypatch.undo()
    waiting = replay(api, done, "b")
    with all_tenants():
        NodeRun.objects.filter(run_id=done.pk, node_id="a").update(outputs_key=None)
    gone = replay(api, done, "b")
    assert (gone.status_code, gone.json()["code"]) == (409, "outputs_gone")
    late = follow(runs, waiting)
    assert (late.state, late.error_type) == ("discarded", "outputs_gone")


def test_undone_work_is_not_kept(runs: Runs, acme: Tenant, model: ModelServer, api: APIClient) -> None:
    undo = {"kind": "http_call", "payload": {"url": {"value": f"{model.url}/undo"}}}
    model.refused = ("second",)
    job = runs.run(acme, workflow({**ask("first"), "compensate": undo}, ask("second")))
    answer = replay(api, job, "second")
    assert (answer.status_code, answer.json()["code"]) == (409, "work_undone")
    model.refused = ()
    again = follow(runs, replay(api, job, "first"))
    assert again.state == "completed"
    model.refused = ("second",)
    failed = follow(runs, replay(api, again, "second"))
    assert failed.state == "discarded"
    with all_tenants():
        assert not Compensation.objects.filter(owner_id=failed.pk).exists()


def test_run_from_outside_and_of_another_tenant_are_refused(
    runs: Runs, acme: Tenant, api: APIClient, globex_api: APIClient, done: Job
) -> None:
    assert replay(globex_api, done, "b").status_code == 404
    with tenant_context(acme):
        WorkflowRun.objects.filter(pk=done.pk).update(is_external=True)
    answer = replay(api, done, "b")
    assert (answer.status_code, answer.json()["code"]) == (409, "run_not_replayable")


def test_forged_payload_is_refused_at_the_first_start(runs: Runs, acme: Tenant, api: APIClient, done: Job) -> None:
    other = create_workflow(tenant=acme, name="other", definition=workflow(node("b")))
    payload = {"workflow_id": str(other.pk), "replay": {"run": str(done.pk), "node": "b"}}
    sent = api.post("/api/v1/jobs/", {"kind": "workflow_execution", "payload": payload}, format="json")
    job = runs.go(reload(Job(pk=sent.json()["id"])))
    assert (job.state, job.error_type) == ("discarded", "run_not_replayable")


def test_console_previews_and_submits_a_replay(acme_user: User, globex_user: User, done: Job) -> None:
    member, stranger = Client(), Client()
    member.force_login(acme_user)
    stranger.force_login(globex_user)
    page = f"/admin/workflow_execution/workflow/replay/{done.pk}/"
    assert page in member.get(f"/admin/workflow_storage/workflowrun/{done.pk}/change/").content.decode()
    assert member.get(page).status_code == 200
    assert stranger.get(page).status_code == stranger.post(page, {"node": "b"}).status_code == 404
    shown = member.post(page, {"node": "b", "_preview": "1"})
    assert shown.context["nodes"] == [("start", True), ("a", True), ("b", False), ("c", False), ("end", False)]
    refused = member.post(page, {"node": "b", "inputs": '{"word": 5}', "outputs": "[]"})
    assert refused.context["form"].errors["outputs"] == ["It must be a JSON object."]
    refused = member.post(page, {"node": "b", "inputs": '{"word": 5}', "outputs": '{"a": 5}'})
    assert list(refused.context["form"].errors) == ["outputs"]
    refused = member.post(page, {"node": "b", "inputs": '{"word": 5}'})
    assert list(refused.context["form"].errors) == ["inputs"]
    sent = member.post(page, {"node": "b", "inputs": '{"word": "ok"}', "outputs": '{"a": {"text": "short"}}'})
    assert sent.status_code == 302
    with all_tenants():
        job = Job.objects.get(payload__has_key="replay")
        assert job.payload["replay"] == {"run": str(done.pk), "node": "b", "outputs": {"a": {"text": "short"}}}
    assert str(job.pk) in sent["Location"]
    assert str(done.pk) in member.get(sent["Location"]).content.decode()


def test_record_keeps_the_run_that_it_replays(acme: Tenant, done: Job) -> None:
    facts = {"run_id": done.pk, "tenant_id": acme.pk, "workflow_version": 1, "job_id": done.pk}
    with tenant_context(acme):
        later = RunRecord(**facts, workflow_id=done.pk, version=99, state=RecordState.FAILED)
        save_records(later)
    assert run_of(done).replay_of is None
