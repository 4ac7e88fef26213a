"""Runs that are stored by jobs of the kind workflow_storage."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import connection, transaction

from scheduling.models import Job
from scheduling.processors import registry
from scheduling.processors.base import Effects, JobContext, Json
from scheduling.processors.files.models import Content
from scheduling.processors.workflow_storage.backends import get_records
from scheduling.processors.workflow_storage.models import NodeRun, PendingWrite, WorkflowRun
from scheduling.processors.workflow_storage.processor import WorkflowStorage
from scheduling.processors.workflow_storage.queueing import QueuedRecords
from scheduling.processors.workflow_storage.records import RunState
from scheduling.processors.workflow_storage.repository import Write, apply_pending, apply_writes
from scheduling.processors.workflow_storage.selectors import get_run
from scheduling.services.checkpoints import save_checkpoint
from scheduling.services.execution import StartedExecution
from scheduling.services.settlement import settle
from scheduling.worker import policy
from tenants.context import all_tenants, tenant_context
from tenants.models import Plan, Tenant
from tests.integration.scheduling.acts import Start, Tick, begin
from tests.integration.workflow_storage.conftest import ended, later, new_node, new_run

pytestmark = pytest.mark.usefixtures("queued")


def storage_jobs() -> list[Job]:
    return list(Job.objects.filter(kind="workflow_storage").order_by("id"))


def perform(tick: Tick, start: Start, job: Job) -> Job:
    """Run a job as a worker does, to its settlement."""
    tick()
    with connection.cursor() as cursor:
        # A tick lets its transaction be idle for two seconds; a test's transaction outlives it.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    with all_tenants():
        started = begin(start, Job.objects.get(pk=job.pk))
    outcome = WorkflowStorage().process(context_of(started))
    settle([policy.settlement_of(outcome, started, policy.retry_policy(started, WorkflowStorage))])
    with all_tenants():
        return Job.objects.get(pk=job.pk)


def context_of(started: StartedExecution) -> JobContext:
    return JobContext(
        tenant_id=started.tenant_id,
        job_id=started.job_id,
        execution_id=started.execution_id,
        kind=started.kind,
        payload=started.payload,
        attempt=started.attempt,
        state=started.checkpoint,
        fencing_token=started.fence,
        idempotency_key=started.idempotency_key,
        deadline_at=started.deadline_at,
        runtime=CheckpointsAlone(started),
    )


class CheckpointsAlone:
    """As much of a worker's runtime as the kind uses, on the real service."""

    def __init__(self, started: StartedExecution) -> None:
        self.started = started

    def checkpoint(self, state: Json, effects: Effects | None) -> None:
        save_checkpoint(
            tenant_id=self.started.tenant_id,
            job_id=self.started.job_id,
            fence=self.started.fence,
            state=state,
            effects=effects,
        )


def write_three(tenant: Tenant) -> UUID:
    """A run that begins, goes on and ends, as an engine writes it."""
    run = new_run(tenant)
    node = new_node(run)
    records = get_records()
    records.save_many(run, [node])
    second = later(run, total_steps=1)
    records.save_many(second, [ended(node), new_node(run, "each")])
    records.save_many(later(second, state=RunState.SUCCEEDED, outputs={"answer": 42}), [ended(new_node(run, "each"))])
    return run.run_id


def test_the_setting_chooses_the_queue() -> None:
    assert isinstance(get_records(), QueuedRecords)


def test_the_first_write_is_applied_at_once_and_later_ones_wait(in_acme: Tenant) -> None:
    run_id = write_three(in_acme)

    run = get_run(run_id)
    assert (run.version, run.state) == (1, "running")
    assert run.is_pending  # type: ignore[attr-defined]
    assert NodeRun.objects.get().state == "running"
    assert [job.payload for job in storage_jobs()] == [{"run_id": str(run_id)}] * 2
    assert {job.queue.name for job in storage_jobs()} == {"workflow_storage"}


def test_one_job_applies_all_that_waits_and_the_next_finds_nothing(
    acme: Tenant,
    tick: Tick,
    start: Start,
) -> None:
    with tenant_context(acme):
        run_id = write_three(acme)
        first, second = storage_jobs()

    done = perform(tick, start, first)

    with tenant_context(acme):
        run = get_run(run_id)
        assert (run.version, run.state) == (3, "succeeded")
        assert (run.inputs, run.outputs) == ({"question": "why?"}, {"answer": 42})
        assert not run.is_pending  # type: ignore[attr-defined]
        assert set(NodeRun.objects.values_list("node_id", "state")) == {("start", "succeeded"), ("each", "succeeded")}
        versions = set(NodeRun.objects.values_list("version", "run_version"))
    assert (done.state, done.result) == ("completed", {"writes": 2})
    assert perform(tick, start, second).result == {"writes": 0}
    with tenant_context(acme):
        assert set(NodeRun.objects.values_list("version", "run_version")) == versions


def test_a_write_goes_with_the_transaction_that_made_it(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    get_records().save_run(run)
    with pytest.raises(RuntimeError), transaction.atomic():
        get_records().save_run(later(run, state=RunState.FAILED))
        raise RuntimeError

    assert not PendingWrite.objects.exists()
    assert not storage_jobs()


def test_a_run_that_is_over_stays_so_whatever_comes_late(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    records = get_records()
    records.save_run(run)
    over = later(run, state=RunState.CANCELLED)
    # The end is stored by itself; the write before it comes later, and then once more.
    apply_writes([Write.of_run(over)])
    records.save_many(later(later(run)), [new_node(run)])
    records.save_run(later(run))
    apply_pending(run.run_id)

    assert get_run(run.run_id).state == "cancelled"
    assert get_run(run.run_id).version == 2


def test_writes_are_applied_at_once_where_the_platform_takes_no_job(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    records = get_records()
    records.save_run(run)
    records.save_run(later(run, total_steps=1))
    with all_tenants():
        Plan.objects.filter(pk=in_acme.plan_id).update(max_waiting_jobs=1)

    records.save_run(later(later(run), state=RunState.SUCCEEDED))

    assert len(storage_jobs()) == 1
    assert not PendingWrite.objects.exists()
    assert (get_run(run.run_id).state, get_run(run.run_id).version) == ("succeeded", 3)


def test_a_large_value_is_offloaded_by_the_job(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    get_records().save_run(run)
    get_records().save_run(later(run, outputs={"text": "x" * 20_000}))
    assert not Content.objects.exists()

    apply_pending(run.run_id)

    assert WorkflowRun.objects.get().outputs_key == Content.objects.get().key


def test_another_tenants_job_applies_nothing_of_the_run(acme: Tenant, globex: Tenant) -> None:
    with tenant_context(acme):
        run_id = write_three(acme)
    with tenant_context(globex):
        assert apply_pending(run_id) == 0
    with tenant_context(acme):
        assert PendingWrite.objects.count() == 2


def test_the_kind_is_retried_after_60_120_and_240_seconds() -> None:
    kind = registry.get("workflow_storage")

    assert (kind.max_retries, list(kind.retry_delays_seconds)) == (3, [60, 120, 240])
