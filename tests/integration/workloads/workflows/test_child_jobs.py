"""Nodes of the types `job` and `sub_workflow`: their jobs are children of the run, which waits without a slot."""

from __future__ import annotations

from typing import Any

import pytest

from scheduling.execution import settlement_builders
from scheduling.execution.settlement import settle
from scheduling.jobs.batches.cancelling import tend_cancellations
from scheduling.jobs.batches.folding import fold_batches
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.kit.base import Child
from scheduling.models import Job
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.bulk.conftest import take_turns
from tests.integration.workloads.workflows.conftest import Runs, nodes_of, reload, run_of
from tests.integration.workloads.workflows.test_kills import Died, Dying, begin, process
from tests.unit.workloads.workflows.definitions import each, node, workflow
from workloads.workflows.models import Workflow
from workloads.workflows.runs import start_run
from workloads.workflows.service import WorkflowDefinitionError, add_version, create_workflow

pytestmark = pytest.mark.django_db(transaction=True)


def call(name: str = "call", **fields: Any) -> dict[str, Any]:
    return node(name, "job", kind="noop", payload={"number": {"value": 1}}, **fields)


def children_of(job: Job) -> list[Job]:
    with all_tenants():
        return list(Job.objects.filter(parent_id=job.pk).order_by("id"))


def finish(runs: Runs, job: Job) -> Job:
    """Run the open children of a job, and of these, and then the job until it has ended or waits again."""
    for child in children_of(job):
        if child.state not in ("completed", "discarded", "cancelled") and runs.go(child).state == "suspended":
            finish(runs, child)
    fold_batches()
    return runs.go(job)


def test_child_job_has_tenant_and_fairness_of_the_run_and_returns_its_result(runs: Runs, acme: Tenant) -> None:
    definition = workflow(call(), outputs={"all": {"ref": "nodes.call"}})
    workflow_row = create_workflow(tenant=acme, name="calls", definition=definition)
    job = start_run(tenant=acme, workflow=workflow_row, inputs={}, fair_key="team", priority=1).job
    assert (runs.go(job).state, nodes_of(job)["call"].state) == ("suspended", "waiting")
    (child,) = children_of(job)
    assert (child.kind, child.tenant_id, child.fair_key, child.priority) == ("noop", acme.pk, "team", 1)
    done = finish(runs, job)
    assert done.state == "completed"
    outputs = done.result["outputs"]["all"]
    assert (outputs["job"], outputs["state"]) == (str(child.pk), "completed")
    assert (outputs["result"], reload(child).state) == ({}, "completed")
    assert faults_of("ledger") == []


@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize("dies_at", [1, 2])
def test_worker_that_dies_before_the_run_waits_submits_one_child(
    runs: Runs, local: LocalWorker, acme: Tenant, dies_at: int, is_kept: bool
) -> None:
    job = runs.start(acme, workflow(call()))
    started = begin(job, local)
    runtime = Dying(started, dies_at=dies_at, is_kept=is_kept)
    submitted: list[Child] = []
    runtime.submit_child = submitted.append  # type: ignore[attr-defined]
    with pytest.raises(Died):
        process(started, runtime)
    assert settle([settlement_builders.shut_down(started.execution_id, started.fence)])
    assert children_of(job) == []
    assert runs.go(job).state == "suspended"
    assert len(children_of(job)) == 1
    assert finish(runs, job).state == "completed"
    assert len(children_of(job)) == 1


def test_worker_that_dies_after_the_child_reads_its_result_again(runs: Runs, local: LocalWorker, acme: Tenant) -> None:
    job = runs.run(acme, workflow(call(), outputs={"state": {"ref": "nodes.call.state"}}))
    runs.go(children_of(job)[0])
    fold_batches()
    started = begin(job, local)
    runtime = Dying(started, dies_at=1, is_kept=False)
    runtime.children = list  # type: ignore[attr-defined]
    with pytest.raises(Died):
        process(started, runtime)
    assert settle([settlement_builders.shut_down(started.execution_id, started.fence)])
    done = runs.go(job)
    assert (done.state, done.result["outputs"], len(children_of(job))) == ("completed", {"state": "completed"}, 1)


def test_failure_of_the_child_is_the_error_of_its_node(runs: Runs, acme: Tenant) -> None:
    sick = node(
        "sick", "job", kind="http_call", payload={"url": {"value": "https://127.0.0.2:1/"}}, on_error="continue"
    )
    definition = workflow(sick, outputs={"code": {"ref": "nodes.sick.error.code"}})
    job = finish(runs, runs.run(acme, definition))
    (child,) = children_of(job)
    assert (child.state, job.result["outputs"]) == ("discarded", {"code": child.error_type})


def test_payload_that_the_kind_refuses_is_the_error_of_its_node(runs: Runs, acme: Tenant) -> None:
    job = runs.run(acme, workflow(node("call", "job", kind="http_call", payload={"nonsense": {"value": 1}})))
    assert (job.state, run_of(job).error_code, children_of(job)) == ("discarded", "payload_invalid", [])


def test_child_job_may_not_refer_to_secrets(runs: Runs, acme: Tenant) -> None:
    text = "{{ inputs.left }}{ secrets.own }}"
    payload = {"url": {"value": "https://example.com/"}, "body": {"template": text}}
    definition = workflow(node("call", "job", kind="http_call", payload=payload), inputs={"left": {"type": "string"}})
    job = runs.run(acme, definition, {"left": "{"})
    assert (job.state, run_of(job).error_code, children_of(job)) == ("discarded", "secret_refused", [])


def test_cancel_of_a_waiting_run_cancels_its_child(runs: Runs, acme: Tenant) -> None:
    job = runs.start(acme, workflow(call()))
    assert runs.step(job)
    with tenant_context(acme):
        cancel_job(job_id=job.pk)
    assert tend_cancellations() == 1
    take_turns()
    assert [reload(child).state for child in children_of(job)] == ["cancelled"]


def test_items_of_an_iteration_wait_for_their_children_together(runs: Runs, acme: Tenant) -> None:
    items = each("each", [0, 1, 2], call(), output={"ref": "nodes.call.state"}, parallel=3)
    job = runs.run(acme, workflow(items, outputs={"all": {"ref": "nodes.each.results"}}))
    assert len(children_of(job)) == 3
    assert finish(runs, job).result["outputs"] == {"all": ["completed"] * 3}


def test_run_that_a_person_resumes_waits_on_for_its_child(runs: Runs, acme: Tenant) -> None:
    job = runs.start(acme, workflow(call()))
    assert runs.step(job)
    (child,) = children_of(job)
    with tenant_context(acme):
        suspend_job(job_id=child.pk)
        resume_job(job_id=job.pk)
    assert runs.step(job)
    assert (reload(job).state, len(children_of(job))) == ("scheduled", 1)


def test_sub_workflow_returns_the_outputs_of_the_called_run(runs: Runs, acme: Tenant) -> None:
    inner = workflow(
        node("say", template="Hello {{ inputs.name }}"),
        inputs={"name": {"type": "string"}},
        outputs={"text": {"ref": "nodes.say.text"}},
    )
    create_workflow(tenant=acme, name="greet", definition=inner)
    call_it = node("greet", "sub_workflow", workflow="greet", inputs={"name": {"value": "Ada"}})
    job = finish(runs, runs.run(acme, workflow(call_it, outputs={"text": {"ref": "nodes.greet.outputs.text"}})))
    assert (job.state, job.result["outputs"]) == ("completed", {"text": "Hello Ada"})
    (child,) = children_of(job)
    assert (child.kind, child.payload["depth"], run_of(child).state) == ("workflow_execution", 1, "succeeded")


def test_large_outputs_of_a_called_run_are_read_from_its_record(runs: Runs, acme: Tenant) -> None:
    inner = workflow(node("say", template="x" * 40_000), outputs={"text": {"ref": "nodes.say.text"}})
    create_workflow(tenant=acme, name="large", definition=inner)
    calling = workflow(
        node("large", "sub_workflow", workflow="large"),
        node("count", template="{{ nodes.large.outputs.text | length }}"),
        outputs={"n": {"ref": "nodes.count.text"}},
    )
    assert finish(runs, runs.run(acme, calling)).result["outputs"] == {"n": "40000"}


def test_workflows_that_call_each_other_fail_at_the_depth_limit(runs: Runs, acme: Tenant) -> None:
    other = create_workflow(tenant=acme, name="other", definition=workflow(node("a")))
    job = runs.run(acme, workflow(node("call", "sub_workflow", workflow="other")))
    with tenant_context(acme):
        name = Workflow.objects.exclude(name="other").get().name
    # A circle of two, whose runs are nested until the limit.
    with tenant_context(acme):
        add_version(workflow=other, definition=workflow(node("call", "sub_workflow", workflow=name)))
    finish(runs, job)
    top = start_run(tenant=acme, workflow=other, inputs={}).job
    runs.go(top)
    assert finish(runs, top).state == "discarded"
    with all_tenants():
        depths = Job.objects.filter(kind="workflow_execution").values_list("payload__depth", flat=True)
        assert max(depth or 0 for depth in depths) == 5
    assert run_of(top).error_code == "too_nested"


def test_sub_workflow_of_another_tenant_does_not_exist(runs: Runs, acme: Tenant, globex: Tenant) -> None:
    theirs = create_workflow(tenant=globex, name="theirs", definition=workflow(node("a")))
    for name in ("theirs", str(theirs.pk)):
        job = runs.run(acme, workflow(node("call", "sub_workflow", workflow=name)))
        assert (job.state, run_of(job).error_code) == ("discarded", "workflow_not_found")


def test_definition_with_an_internal_kind_or_a_call_of_itself_is_refused(acme: Tenant) -> None:
    for kind in ("workflow_storage", "workflow_execution", "no_such_kind"):
        with pytest.raises(WorkflowDefinitionError) as refused:
            create_workflow(tenant=acme, name="w", definition=workflow(node("call", "job", kind=kind)))
        assert [fault["code"] for fault in refused.value.errors] == ["unknown_kind"]
    itself = workflow(node("call", "sub_workflow", workflow="w"))
    with pytest.raises(WorkflowDefinitionError) as refused:
        create_workflow(tenant=acme, name="w", definition=itself)
    assert [(fault["code"], fault["pointer"]) for fault in refused.value.errors] == [
        ("calls_itself", "/nodes/1/config/workflow")
    ]
    row = create_workflow(tenant=acme, name="v", definition=workflow(node("a")))
    with pytest.raises(WorkflowDefinitionError), tenant_context(acme):
        add_version(workflow=row, definition=workflow(node("call", "sub_workflow", workflow=str(row.pk))))
