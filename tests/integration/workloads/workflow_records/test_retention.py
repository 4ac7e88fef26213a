"""Retention of runs, their state checks, and erasure."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from scheduling.consistency.verification import verify
from scheduling.models import Job
from scheduling.upkeep.runs import run_upkeep
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7, uuid7_floor
from tenants.models import Tenant
from tests.integration.workloads.workflow_records.conftest import new_job, new_node, new_run
from workloads.files.models import Content
from workloads.workflows.records.models import NodeRun, WorkflowRun
from workloads.workflows.records.records import RecordState, RunRecord
from workloads.workflows.records.repository import save_records

pytestmark = pytest.mark.django_db


def old_id(days: float) -> UUID:
    """Return an id created so many days ago."""
    return UUID(int=uuid7_floor(timezone.now() - timedelta(days=days)).int + uuid7().int % 2**32)


def put(tenant: Tenant, run: RunRecord, *nodes: str, large: bool = False) -> RunRecord:
    value = {"text": str(run.run_id) * 1_000} if large else {}
    with tenant_context(tenant):
        save_records(run, [new_node(run, node, inputs=value) for node in nodes])
    return run


def left() -> set[UUID]:
    with all_tenants():
        return set(WorkflowRun.objects.values_list("pk", flat=True))


def test_runs_are_removed_with_their_jobs_by_the_tenants_plan(acme: Tenant, globex: Tenant) -> None:
    """Keep finished jobs for 30 and failed ones for 90 days in the plan team, 7 and 30 in sandbox."""
    kept = [
        put(acme, new_run(acme, run_id=old_id(40), job_id=new_job(acme).pk), "a"),  # its job exists
        put(acme, new_run(acme, run_id=old_id(40), job_id=new_job(acme).pk, is_external=True)),
        put(acme, new_run(acme, run_id=old_id(20)), "a"),  # too recent to be checked
        put(globex, new_run(globex)),
    ]
    gone = [
        put(acme, new_run(acme, run_id=old_id(40), state=RecordState.FAILED), "a", "b", large=True),
        put(acme, new_run(acme, run_id=old_id(41)), "a"),  # still open: its job had ended all the same
        put(acme, new_run(acme, run_id=old_id(42), is_external=True), "a"),
        put(globex, new_run(globex, run_id=old_id(8)), "a"),
    ]
    with all_tenants():
        (key,) = set(NodeRun.objects.exclude(inputs_key=None).values_list("inputs_key", flat=True))
        Content.objects.update(held_until=timezone.now())

    run = run_upkeep(name="workflow_runs", batch_rows=1)

    assert (run.outcome, run.counts["runs"], run.counts["nodes"], run.counts["values"]) == ("ok", 4, 5, 1)
    assert left() == {row.run_id for row in kept}
    assert not left() & {row.run_id for row in gone}
    with all_tenants():
        assert NodeRun.objects.count() == 2
    assert key is not None


@pytest.mark.django_db(transaction=True)
def test_unreferenced_values_are_removed_from_the_storage(acme: Tenant) -> None:
    shared = {"text": "x" * 20_000}
    with tenant_context(acme):
        old = new_run(acme, run_id=old_id(40), inputs=shared, outputs={"text": "y" * 20_000})
        save_records(old)
        save_records(new_run(acme, inputs=shared))
        keys = WorkflowRun.objects.values_list("inputs_key", "outputs_key").get(pk=old.run_id)
        Content.objects.update(held_until=timezone.now())

    run_upkeep(name="workflow_runs")

    assert [default_storage.exists(str(key)) for key in keys] == [True, False]


def codes() -> dict[str, list[str]]:
    return {code: [str(example) for example in finding.examples] for (code, _), finding in verify().findings.items()}


def test_run_consistent_with_its_job_is_clean(acme: Tenant) -> None:
    put(acme, new_run(acme, job_id=new_job(acme).pk), "a")

    assert codes() == {}


def test_each_mismatch_of_a_run_is_found(acme: Tenant) -> None:
    lost = put(acme, new_run(acme))
    job = new_job(acme)
    open_run = put(acme, new_run(acme, job_id=job.pk), "a")
    with tenant_context(acme):
        Job.objects.filter(pk=job.pk).update(state="completed", finished_at=timezone.now())
        NodeRun.objects.update(run_version=9)

    faults = codes()

    assert str(lost.run_id) in faults["workflow_run_without_job"][0]
    assert str(open_run.run_id) in faults["workflow_run_left_open"][0]
    assert "workflow_node_ahead" in faults
