"""Nodes of runs that fail or are cancelled are undone, last first; those of runs that succeed are not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scheduling.compensation.duty import compensate
from scheduling.jobs.cancellation import cancel_job
from scheduling.models import Compensation, Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.compensation.payments import Payments, payment_service
from tests.integration.workloads.workflows.conftest import Runs
from tests.platform_settings import ChangePlatformSettings
from tests.unit.workloads.workflows.definitions import node, workflow
from workloads.workflows.definition.validation import faults_in
from workloads.workflows.exceptions import WorkflowDefinitionError
from workloads.workflows.service import check_definition

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def payments(change_platform_settings: ChangePlatformSettings):
    with payment_service() as service:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{service.port}"])
        yield service


def charge(payments: Payments, name: str, order: str, undo: dict[str, Any] | None = None) -> dict[str, Any]:
    made = node(
        name,
        "http_request",
        method="POST",
        url=f"{payments.url}/charges",
        headers={"Idempotency-Key": f"key-{order}"},
        json={"value": {"order": order}},
    )
    made["retry"] = {"max_retries": 0}
    payload = {
        "url": {"value": f"{payments.url}/refunds"},
        "method": {"value": "POST"},
        "json": {"ref": f"nodes.{name}.json"},
    }
    made["compensate"] = {"kind": "http_call", "payload": payload, **(undo or {})}
    return made


def undo_all(runs: Runs) -> list[Compensation]:
    """Do what dispatchers and workers do; return the compensations in the order in which they began."""
    for _ in range(10):
        if not compensate():
            break
        with all_tenants():
            job = Job.objects.get(state="available", kind="http_call")
        runs.go(job)
    with all_tenants():
        return list(Compensation.objects.order_by("job_id"))


def test_nodes_of_a_failed_run_are_undone_in_reverse_order(acme: Tenant, runs: Runs, payments: Payments) -> None:
    by_key = {"payload": {
        "url": {"value": f"{payments.url}/refunds"}, "method": {"value": "POST"},
        "json": {"value": {"job": "key-a1"}},
    }}  # fmt: skip
    definition = workflow(
        charge(payments, "first", "a1", by_key),
        charge(payments, "second", "a2", {"payload": {
            **by_key["payload"], "json": {"value": {"job": "key-a2"}},
        }}),
        charge(payments, "third", "declined"),
    )  # fmt: skip
    job = runs.run(acme, definition)
    assert job.state == "discarded"
    rows = undo_all(runs)
    assert [(row.work, row.state) for row in rows] == [("second", "compensated"), ("first", "compensated")]
    assert payments.refunded == {"key-a1", "key-a2"}


def test_nodes_of_a_run_that_succeeds_are_kept(acme: Tenant, runs: Runs, payments: Payments) -> None:
    job = runs.run(acme, workflow(charge(payments, "first", "a1")))
    assert job.state == "completed"
    with all_tenants():
        assert [row.state for row in Compensation.objects.all()] == ["ready"]
    assert undo_all(runs) == []
    assert payments.refunded == set()


def test_outputs_of_the_node_reach_its_compensation_after_a_cancellation(
    acme: Tenant, runs: Runs, payments: Payments
) -> None:
    definition = workflow(charge(payments, "first", "a1"), node("ask", "approval", title="Send it?"))
    job = runs.run(acme, definition)
    assert job.state == "suspended"
    with tenant_context(acme):
        cancel_job(job_id=job.pk)
    compensate()
    with all_tenants():
        row = Compensation.objects.get()
    assert row.payload["json"] == {"charge": "key-a1"}
    assert row.state == "running"


def test_node_of_an_unknown_end_needs_attention_if_its_output_is_needed(
    acme: Tenant, runs: Runs, payments: Payments
) -> None:
    definition = workflow(charge(payments, "first", "a1"), node("ask", "approval", title="Send it?"))
    job = runs.run(acme, definition)
    with all_tenants():
        # As after a kill between the work and its record.
        Compensation.objects.update(state="begun", payload=None)
    with tenant_context(acme):
        cancel_job(job_id=job.pk)
    assert compensate() == 0
    with all_tenants():
        row = Compensation.objects.get()
    assert (row.state, row.error) == ("needs_attention", "It is not known whether the work was done.")


@pytest.mark.parametrize("kind", ["no_such_kind", "outbox_delivery"])
def test_compensation_of_a_kind_that_clients_may_not_submit_is_refused(
    acme: Tenant, payments: Payments, kind: str
) -> None:
    definition = workflow(charge(payments, "first", "a1", {"kind": kind}))
    with pytest.raises(WorkflowDefinitionError) as refusal:
        check_definition(acme, definition)
    (fault,) = refusal.value.errors
    assert (fault["code"], fault["pointer"]) == ("unknown_kind", "/nodes/1/compensate/kind")


def test_compensation_reads_only_what_has_ended_before_it(payments: Payments) -> None:
    first, second = charge(payments, "first", "a1"), charge(payments, "second", "a2")
    first["compensate"]["payload"]["json"] = {"ref": "nodes.second.json"}
    (fault,) = faults_in(workflow(first, second))
    assert fault.code == "variable_not_upstream"
    assert fault.pointer.endswith("/compensate/payload/json/ref")
    assert json.dumps(fault.describe())
