"""Runs of workflows on a worker: outputs, waits, and records."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.execution.rescue import run_sweep
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.output import read_output
from scheduling.models import DeadLetter, Job, JobDue, JobSuspended
from scheduling.upkeep.registry import UpkeepBudget
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.settings.service import change_settings
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import submit
from tests.integration.workloads.workflows.conftest import Runs, nodes_of, outcomes, run_of
from tests.model_server import ModelServer
from tests.unit.workloads.workflows.definitions import condition, each, node, workflow
from workloads.files.models import Content
from workloads.workflows.exceptions import ApprovalEndedError, RunInputsInvalidError
from workloads.workflows.models import Approval, RunValue
from workloads.workflows.runs import decide_approval
from workloads.workflows.upkeep import sweep_ended_runs

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = {"question": {"type": "string"}}


@pytest.fixture(params=["prefork", "io"])
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_run_returns_its_outputs_and_each_node_is_recorded(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    definition = workflow(
        node("hello", template="Dear {{ inputs.question }}"),
        node("ask", "llm", system="Be short.", prompt="{{ nodes.hello.text }}", temperature=0),
        inputs=QUESTION,
        outputs={"answer": {"ref": "nodes.ask.text"}, "as_it_stands": {"value": [1]}},
    )
    job = runs.run(acme, definition, {"question": "Ada"})
    assert (job.state, job.attempt) == ("completed", 0)
    assert job.result["outputs"] == {"answer": "You said: Dear Ada", "as_it_stands": [1]}
    assert job.result["tokens"] == 8
    assert model.asked[0].body["messages"][0] == {"role": "system", "content": "Be short."}
    run = run_of(job)
    assert (run.state, run.inputs, run.outputs) == ("succeeded", {"question": "Ada"}, job.result["outputs"])
    assert (run.total_steps, run.total_tokens, run.workflow_version) == (4, 8, 1)
    assert run.started_at <= run.ended_at
    nodes = nodes_of(job)
    assert {name: row.state for name, row in nodes.items()} == dict.fromkeys(
        ["start", "hello", "ask", "end"], "succeeded"
    )
    assert nodes["ask"].inputs["messages"][1]["content"] == "Dear Ada"
    assert nodes["ask"].outputs["completion_tokens"] == 4
    assert nodes["ask"].tokens == 8
    assert outcomes(job) == ["completed"]
    assert faults_of("ledger") == []


def test_answer_of_a_model_is_streamed_and_begins_again_with_each_attempt(
    runs: Runs, acme: Tenant, model: ModelServer
) -> None:
    ask = node("ask", "llm", prompt="Ada", retry={"max_retries": 1, "delay_seconds": 0.1})
    whole = runs.run(acme, workflow(ask))
    model.breaks_after_parts = 2
    broken = runs.run(acme, workflow(ask))
    with tenant_context(acme):
        assert [(each.name, each.text) for each in read_output(whole)] == [("ask", "You said: Ada")]
        assert [(each.name, each.text) for each in read_output(broken)] == [("ask", "You said:")]


def test_inputs_are_validated_before_submission(runs: Runs, acme: Tenant) -> None:
    with pytest.raises(RunInputsInvalidError) as caught:
        runs.start(acme, workflow(inputs={**QUESTION, "n": {"type": "integer"}}), {"n": "3", "x": 1})
    assert [(fault["code"], fault["field"]) for fault in caught.value.errors] == [
        ("input_invalid", "inputs.n"),
        ("input_missing", "inputs.question"),
        ("input_unknown", "inputs.x"),
    ]
    with all_tenants():
        assert not Job.objects.exists()


def test_branch_not_chosen_by_a_condition_is_recorded_as_skipped(runs: Runs, acme: Tenant) -> None:
    definition = workflow(
        condition("choose", ("short", "inputs.question", "eq", "hi")),
        node("a"),
        node("b"),
        ways=["start > choose", "choose short> a", "choose else> b", "a > end", "b > end"],
        inputs=QUESTION,
        outputs={"text": {"template": "{{ nodes.a.text | default('') }}{{ nodes.b.text | default('') }}"}},
    )
    job = runs.run(acme, definition, {"question": "hi"})
    assert job.result["outputs"] == {"text": "a"}
    assert nodes_of(job)["b"].state == "skipped"


def test_iteration_requests_its_items_concurrently(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    items = [f"item {number}" for number in range(8)]
    definition = workflow(
        each("each", "inputs.items", node("ask", "llm", prompt="{{ index }}: {{ item }}"), parallel=4),
        inputs={"items": {"type": "array"}},
        outputs={"answers": {"ref": "nodes.each.results"}, "count": {"ref": "nodes.each.count"}},
    )
    job = runs.run(acme, definition, {"items": items})
    answers = [f"You said: {number}: {item}" for number, item in enumerate(items)]
    assert job.result["outputs"] == {"answers": answers, "count": 8}
    assert sorted(model.prompts) == sorted(f"{number}: {item}" for number, item in enumerate(items))
    nodes = nodes_of(job)
    assert nodes["ask@7"].outputs["text"] == answers[7]
    assert run_of(job).total_steps == 11


def test_failed_items_are_left_out_if_the_definition_says_so(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    ask = node("ask", "llm", prompt="{{ item }}", retry={"max_retries": 0})
    definition = workflow(
        each("each", [1, 2, 3], ask, on_item_error="skip"), outputs={"all": {"ref": "nodes.each.results"}}
    )
    model.fail_next(400)
    job = runs.run(acme, definition)
    assert job.result["outputs"] == {"all": [None, "You said: 2", "You said: 3"]}
    assert nodes_of(job)["ask@0"].state == "failed"


def test_large_values_are_stored_outside_the_state_until_the_runs_removal(runs: Runs, acme: Tenant) -> None:
    big = node("big", template="{{ inputs.question }}" * 20)
    definition = workflow(
        each(
            "each", list(range(12)), big, node("small", template="{{ nodes.big.text | length }}"), ways=["big > small"]
        ),
        node("wait", "delay", seconds=600),
        inputs=QUESTION,
        outputs={"sizes": {"ref": "nodes.each.results"}},
    )
    job = runs.run(acme, definition, {"question": "long " * 2_000})
    assert job.state == "scheduled"
    assert len(str(job.checkpoint)) < 20_000
    with all_tenants():
        assert RunValue.objects.filter(job_id=job.pk).exists()
        JobDue.objects.update(due_at=timezone.now() - timedelta(minutes=1))
    assert run_of(job).state == "waiting"
    _let_time_pass(job)
    job = runs.go(job)
    assert job.result["outputs"]["sizes"] == ["200000"] * 12
    with all_tenants():
        assert not RunValue.objects.exists()
        assert Content.objects.exists()


def _let_time_pass(job: Job) -> None:
    """End a delay by moving it back in the state, as if it had been requested earlier."""
    with all_tenants():
        row = Job.objects.get(pk=job.pk)
        for step in row.checkpoint["steps"].values():
            if "d" in step:
                step["d"] -= 100_000
        row.save(update_fields=["checkpoint"])
        JobDue.objects.filter(job_id=job.pk).update(due_at=timezone.now() - timedelta(minutes=1))


def test_delay_releases_the_slot_and_uses_no_attempt(runs: Runs, acme: Tenant) -> None:
    job = runs.run(acme, workflow(node("wait", "delay", seconds=3_600), node("after")))
    assert (job.state, job.attempt, outcomes(job)) == ("scheduled", 0, ["put_off"])
    assert nodes_of(job)["wait"].state == "waiting"
    with all_tenants():
        due = JobDue.objects.get(job_id=job.pk).due_at
    assert timedelta(minutes=59) < due - timezone.now() < timedelta(minutes=61)
    _let_time_pass(job)
    job = runs.go(job)
    assert (job.state, outcomes(job)) == ("completed", ["put_off", "completed"])
    assert nodes_of(job)["after"].state == "succeeded"


def test_short_delay_waits_in_the_slot(runs: Runs, acme: Tenant) -> None:
    job = runs.run(acme, workflow(node("wait", "delay", seconds=0.2)))
    assert (job.state, outcomes(job)) == ("completed", ["completed"])


ASKS = workflow(
    node("ok", "approval", title="Send {{ inputs.question }}?", text="It costs.", timeout_seconds=3_600),
    node("sent", template="sent by {{ nodes.ok.decided_by }}: {{ nodes.ok.comment }}"),
    node("kept", template="kept"),
    ways=["start > ok", "ok approved> sent", "ok rejected> kept", "sent > end", "kept > end"],
    inputs=QUESTION,
    outputs={"text": {"template": "{{ nodes.sent.text | default(nodes.kept.text) }}"}},
)


@pytest.mark.parametrize(("is_approved", "text"), [(True, "sent by system: fine"), (False, "kept")])
def test_approval_suspends_the_run_until_it_is_answered(runs: Runs, acme: Tenant, is_approved: bool, text: str) -> None:
    job = runs.run(acme, ASKS, {"question": "mail"})
    assert (job.state, outcomes(job), run_of(job).state) == ("suspended", ["put_off"], "waiting")
    with tenant_context(acme):
        approval = Approval.objects.get()
        assert (approval.title, approval.text, approval.state) == ("Send mail?", "It costs.", "pending")
        decide_approval(approval_id=approval.pk, is_approved=is_approved, comment="fine")
        with pytest.raises(ApprovalEndedError):
            decide_approval(approval_id=approval.pk, is_approved=True)
    job = runs.go(job)
    assert (job.state, job.result["outputs"], job.attempt) == ("completed", {"text": text}, 0)
    assert faults_of("ledger") == []


@pytest.mark.parametrize(
    ("on_timeout", "state", "text"),
    [("approve", "completed", "sent by : "), ("reject", "completed", "kept"), ("fail", "discarded", None)],
)
def test_unanswered_approval_ends_at_its_timeout(
    runs: Runs, acme: Tenant, on_timeout: str, state: str, text: str | None
) -> None:
    definition = {**ASKS, "nodes": [dict(one) for one in ASKS["nodes"]]}
    definition["nodes"][1]["config"] = {**definition["nodes"][1]["config"], "on_timeout": on_timeout}
    job = runs.run(acme, definition, {"question": "mail"})
    with all_tenants():
        past = timezone.now() - timedelta(minutes=1)
        Approval.objects.update(expires_at=past)
        JobSuspended.objects.update(wake_at=past)
        approval = Approval.objects.get()
    with tenant_context(acme), pytest.raises(ApprovalEndedError):
        decide_approval(approval_id=approval.pk, is_approved=True)
    assert run_sweep().woken == 1
    job = runs.go(job)
    assert job.state == state
    assert (job.result and job.result["outputs"]) == (text and {"text": text})
    with all_tenants():
        assert Approval.objects.get().state == "timed_out"
    if text is not None:
        outputs = nodes_of(job)["ok"].outputs
        decision = {"approve": "approved", "reject": "rejected"}[on_timeout]
        assert (outputs["decision"], outputs["is_timed_out"]) == (decision, True)
    if state == "discarded":
        assert (job.error_type, run_of(job).state) == ("approval_timed_out", "failed")


def test_run_waits_for_a_model_that_refuses_its_key(
    runs: Runs, acme: Tenant, acme_api: APIClient, model: ModelServer
) -> None:
    model.fail_next(401)
    job = runs.run(acme, workflow(node("ask", "llm", prompt="?")))
    assert (job.state, job.attempt, job.error_type) == ("scheduled", 0, "")
    assert acme_api.get(f"/api/v1/workflow-runs/{job.pk}/").json()["state"] == "waiting"
    assert [one["id"] for one in acme_api.get("/api/v1/workflow-runs/?state=waiting").json()["results"]] == [
        str(job.pk)
    ]
    assert acme_api.get("/api/v1/workflow-runs/?state=running").json()["results"] == []
    nodes = acme_api.get(f"/api/v1/workflow-runs/{job.pk}/nodes/").json()["results"]
    assert {one["node"]: one["state"] for one in nodes} == {"start": "succeeded", "ask": "waiting"}
    with all_tenants():
        assert not DeadLetter.objects.exists()


def test_permanently_failing_node_fails_the_run(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    model.fail_next(404)
    job = runs.run(acme, workflow(node("ask", "llm", prompt="?"), node("after")))
    assert (job.state, job.error_type, job.attempt) == ("discarded", "model_refused", 1)
    run = run_of(job)
    assert (run.state, run.error_code) == ("failed", "model_refused")
    assert "ask" in run.error_message
    assert nodes_of(job)["ask"].error_code == "model_refused"
    with all_tenants():
        assert DeadLetter.objects.filter(job_id=job.pk).exists()


def test_node_is_retried_as_often_as_it_states(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    model.fail_next(503, times=2)
    ask = node("ask", "llm", prompt="?", retry={"max_retries": 2, "delay_seconds": 0.1})
    job = runs.run(acme, workflow(ask))
    assert (job.state, job.attempt, len(model.asked)) == ("completed", 0, 3)
    assert nodes_of(job)["ask"].attempt == 3


def test_node_is_cancelled_at_its_timeout(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    model.delay_seconds = 5
    ask = node("ask", "llm", prompt="?", timeout_seconds=0.3, retry={"max_retries": 0}, on_error="continue")
    job = runs.run(acme, workflow(ask, outputs={"code": {"ref": "nodes.ask.error.code"}}))
    assert job.result["outputs"] == {"code": "timed_out"}


def test_request_has_the_same_idempotency_key_at_each_retry(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    model.fail_next(503)
    call = node(
        "call",
        "http_request",
        method="POST",
        url=f"{model.url}/embeddings",
        json={"value": {"model": "m", "input": "text"}},
        retry={"max_retries": 1, "delay_seconds": 0.1},
    )
    job = runs.run(acme, workflow(call, outputs={"used": {"ref": "nodes.call.json.usage.total_tokens"}}))
    assert job.result["outputs"] == {"used": 1}
    keys = {asked.headers["Idempotency-Key"] for asked in model.asked}
    assert keys == {f"{job.pk}:call"}


def test_run_is_limited_to_its_tenants_steps(runs: Runs, acme: Tenant) -> None:
    change_settings(tenant=acme, values={"workflow_execution.max_steps": 5}, by_platform=True)
    job = runs.run(acme, workflow(each("each", list(range(9)), node("x"))))
    assert (job.state, job.error_type) == ("discarded", "step_limit")
    assert run_of(job).state == "failed"


def test_cancelled_run_withdraws_its_open_approval(runs: Runs, acme: Tenant) -> None:
    job = runs.run(acme, ASKS, {"question": "x"})
    with tenant_context(acme):
        cancel_job(job_id=job.pk)
        approval = Approval.objects.get()
        with pytest.raises(ApprovalEndedError):
            decide_approval(approval_id=approval.pk, is_approved=True)
    assert sweep_ended_runs(UpkeepBudget(batch_rows=100, seconds=5)).counts["approvals_withdrawn"] == 1
    with all_tenants():
        assert Approval.objects.get().state == "withdrawn"


def test_submission_without_a_known_workflow_is_discarded(runs: Runs, acme: Tenant) -> None:
    (job,) = submit(acme, kind="workflow_execution", payload={"workflow_id": "0" * 8 + "-0000-0000-0000-" + "0" * 12})
    job = runs.go(job)
    assert (job.state, job.error_type) == ("discarded", "workflow_not_found")
