"""A failed or cancelled run that is repeated continues at the failed node, with the outputs of the finished ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.retries import replay_job, retry_job
from scheduling.models import Job
from scheduling.upkeep.registry import UpkeepBudget
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.workloads.workflows.conftest import Runs, nodes_of, run_of
from tests.model_server import ModelServer
from tests.unit.workloads.workflows.definitions import each, node, workflow
from workloads.workflows.models import Approval, RunValue
from workloads.workflows.runs import decide_approval
from workloads.workflows.upkeep import sweep_ended_runs

pytestmark = pytest.mark.django_db(transaction=True)

BUDGET = UpkeepBudget(batch_rows=100, seconds=5)
NAMES = [f"n{number}" for number in range(6)]


def ask(name: str, prompt: str = "", **fields: Any) -> dict[str, Any]:
    return node(name, "llm", prompt=prompt or name, retry={"max_retries": 0}, **fields)


def repeat(runs: Runs, tenant: Tenant, job: Job) -> Job:
    with tenant_context(tenant):
        again = retry_job(job_id=job.pk).job
    return runs.go(again)


@pytest.fixture
def failed(runs: Runs, acme: Tenant, model: ModelServer) -> Job:
    """Return a run that has failed at the last of six calls; the output of the second is large."""
    model.reply = lambda body: "x" * (3_000 if body["messages"][-1]["content"] == "n1" else 3)
    model.refused = ("n5",)
    outputs = {name: {"ref": f"nodes.{name}.text"} for name in NAMES}
    job = runs.run(acme, workflow(*map(ask, NAMES), outputs=outputs))
    assert (job.state, model.prompts) == ("discarded", NAMES)
    model.refused, model.reply = (), lambda body: "y"
    return job


def test_requeued_run_continues_at_the_failed_node(runs: Runs, acme: Tenant, model: ModelServer, failed: Job) -> None:
    assert sweep_ended_runs(BUDGET).counts["values_removed"] == 0
    again = repeat(runs, acme, failed)
    assert model.prompts == [*NAMES, "n5"]
    outputs = again.result["outputs"]
    assert (outputs["n0"], outputs["n1"], outputs["n5"]) == ("xxx", "x" * 3_000, "y")
    assert {name: row.state for name, row in nodes_of(again).items()} == dict.fromkeys(
        ["start", *NAMES, "end"], "succeeded"
    )
    assert (run_of(again).state, run_of(again).total_steps, run_of(failed).state) == ("succeeded", 2, "failed")
    assert faults_of("ledger") == []


def test_run_that_fails_again_is_continued_again(runs: Runs, acme: Tenant, model: ModelServer, failed: Job) -> None:
    model.refused = ("n5",)
    second = repeat(runs, acme, failed)
    assert second.state == "discarded"
    model.refused = ()
    third = repeat(runs, acme, second)
    assert (third.state, third.result["outputs"]["n1"]) == ("completed", "x" * 3_000)
    assert model.prompts == [*NAMES, "n5", "n5"]


def test_run_whose_values_are_removed_begins_at_its_start(
    runs: Runs, acme: Tenant, model: ModelServer, failed: Job
) -> None:
    with all_tenants():
        Job.objects.filter(pk=failed.pk).update(finished_at=timezone.now() - timedelta(days=8))
    assert sweep_ended_runs(BUDGET).counts["values_removed"] == 1
    with all_tenants():
        assert not RunValue.objects.exists()
    assert repeat(runs, acme, failed).state == "completed"
    assert model.prompts == NAMES * 2


def test_run_with_other_inputs_begins_at_its_start(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    model.refused = ("last",)
    job = runs.run(acme, workflow(ask("first"), ask("last"), inputs={"n": {"type": "integer"}}), {"n": 1})
    model.refused = ()
    with tenant_context(acme):
        again = replay_job(job_id=job.pk, payload={**job.payload, "inputs": {"n": 2}})
    assert runs.go(again).state == "completed"
    assert model.prompts == ["first", "last"] * 2


def test_finished_items_of_an_iteration_are_kept(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    items = ["a", "b", "c", "d"]
    model.refused = ("d",)
    definition = workflow(
        each("each", items, ask("call", "{{ item }}")), outputs={"all": {"ref": "nodes.each.results"}}
    )
    job = runs.run(acme, definition)
    assert (job.state, model.prompts) == ("discarded", items)
    model.refused = ()
    again = repeat(runs, acme, job)
    assert again.result["outputs"] == {"all": [f"You said: {item}" for item in items]}
    assert model.prompts == [*items, "d"]


def test_cancelled_run_asks_for_its_approval_again(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    approval = node("ok", "approval", title="May it go on?")
    job = runs.run(acme, workflow(ask("first"), approval, ways=["start > first > ok > end"]))
    assert job.state == "suspended"
    with tenant_context(acme):
        cancel_job(job_id=job.pk)
    again = repeat(runs, acme, job)
    assert again.state == "suspended"
    with tenant_context(acme):
        decide_approval(approval_id=Approval.objects.get(job_id=again.pk).pk, is_approved=True)
    assert runs.go(again).state == "completed"
    assert model.prompts == ["first"]


def test_run_whose_work_is_undone_begins_at_its_start(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    first = {**ask("first"), "compensate": {"kind": "http_call", "payload": {"url": {"value": f"{model.url}/undo"}}}}
    model.refused = ("second",)
    job = runs.run(acme, workflow(first, ask("second")))
    model.refused = ()
    assert repeat(runs, acme, job).state == "completed"
    assert model.prompts == ["first", "second"] * 2


def test_branch_that_was_not_taken_is_skipped_again(runs: Runs, acme: Tenant, model: ModelServer) -> None:
    choose = node("choose", "condition", cases=[{"name": "a", "all": [{"ref": "nodes.first.text", "op": "exists"}]}])
    ways = ["start > first > choose", "choose a> left", "choose else> right", "left > end", "right > end"]
    model.refused = ("left",)
    job = runs.run(acme, workflow(ask("first"), choose, ask("left"), ask("right"), ways=ways))
    model.refused = ()
    again = repeat(runs, acme, job)
    assert (again.state, nodes_of(again)["right"].state) == ("completed", "skipped")
    assert model.prompts == ["first", "left", "left"]
