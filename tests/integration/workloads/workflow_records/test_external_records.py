"""Runs from outside, stored by jobs of the kind workflow_storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import permutations
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduling.consistency.verification import verify
from scheduling.kit import registry
from scheduling.models import Job
from tenants.context import tenant_context
from tenants.database.ids import uuid7
from tenants.limits.service import set_tenant_limit
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick
from tests.integration.workloads.workflow_records.conftest import ended, later, new_job, new_node, new_run
from tests.integration.workloads.workflow_records.record_helpers import perform, send, stored_rows
from tests.plain_values import plain_only
from tests.workflow_histories import arrivals
from workloads.files.models import Content
from workloads.workflows.records.exceptions import RunTakenError
from workloads.workflows.records.models import NodeRun, WorkflowRun
from workloads.workflows.records.offloading import value_of
from workloads.workflows.records.queries import find_nodes, get_run
from workloads.workflows.records.records import NodeRecord, RecordState, RunRecord
from workloads.workflows.records.repository import save_external_record, save_records


def external_run(tenant: Tenant, **said: Any) -> RunRecord:
    """Return the first record of a run from outside."""
    return new_run(tenant, is_external=True, **said)


def three_records(tenant: Tenant) -> list[tuple[RunRecord, Sequence[NodeRecord]]]:
    """Return the records of a run's start, progress and end."""
    first = external_run(tenant)
    second = later(first, total_steps=1)
    third = later(second, state=RecordState.SUCCEEDED, outputs={"answer": 42})
    start, each = new_node(first), new_node(first, "each", path=(0, 2), tokens=3)
    return [(first, [start]), (second, [ended(start), each]), (third, [ended(each)])]


def wrong_runs() -> list[str]:
    return [code for code, _ in verify().findings if code.startswith("workflow_")]


def test_record_is_stored_by_its_job(acme: Tenant, tick: Tick, start: Start) -> None:
    run = external_run(acme, total_tokens=9)

    done = perform(tick, start, send(acme, run, new_node(run, tokens=5)))

    assert (done.kind, done.queue.name, done.state) == ("workflow_storage", "workflow_storage", "completed")
    assert done.result == {"run": str(run.run_id), "nodes": 1, "is_stored": True}
    with tenant_context(acme):
        stored, node = WorkflowRun.objects.get(), NodeRun.objects.get()
    assert (stored.pk, stored.job_id, stored.is_external) == (run.run_id, done.pk, True)
    assert (stored.workflow_name, stored.inputs, stored.graph, stored.total_tokens) == (
        "Answers",
        run.inputs,
        run.graph,
        9,
    )
    assert (node.node_id, node.inputs, node.tokens, node.run_version) == ("start", {"text": "hello"}, 5, 1)


@plain_only
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_records_in_any_order_and_twice_leave_the_same_rows(
    acme: Tenant, tick: Tick, start: Start, order: tuple[int, ...]
) -> None:
    records = three_records(acme)
    copy_id = uuid7()
    for index in (*order, *order):
        run, nodes = records[index]
        assert perform(tick, start, send(acme, run, *nodes)).state == "completed"

    with tenant_context(acme):
        for run, nodes in records:
            save_external_record(replace(run, run_id=copy_id), [replace(node, run_id=copy_id) for node in nodes])
        assert stored_rows(records[0][0].run_id) == stored_rows(copy_id)
        assert set(NodeRun.objects.filter(run_id=copy_id).values_list("node_id", "state")) == {
            ("start", "succeeded"),
            ("each", "succeeded"),
        }


@plain_only
@pytest.mark.django_db
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_stored_record_does_not_depend_on_arrivals(acme: Tenant, data: st.DataObject) -> None:
    run_id, copy_id = uuid7(), uuid7()
    history, arrived = data.draw(arrivals(run_id=run_id, tenant_id=acme.pk))
    with tenant_context(acme):
        for write in arrived:
            save_external_record(replace(write.run, is_external=True), write.nodes)
            version = WorkflowRun.objects.get(pk=run_id).version
            assert not NodeRun.objects.filter(run_id=run_id, run_version__gt=version).exists()
        for write in history:
            nodes = [replace(node, run_id=copy_id) for node in write.nodes]
            save_external_record(replace(write.run, run_id=copy_id, is_external=True), nodes)
        assert stored_rows(run_id) == stored_rows(copy_id)


def test_record_beyond_the_end_stores_neither_run_nor_nodes(acme: Tenant, tick: Tick, start: Start) -> None:
    run = external_run(acme, state=RecordState.CANCELLED)
    perform(tick, start, send(acme, run))

    done = perform(tick, start, send(acme, later(run, state=RecordState.SUCCEEDED), new_node(run)))

    assert (done.state, done.result["is_stored"]) == ("completed", False)
    with tenant_context(acme):
        assert (WorkflowRun.objects.get().state, NodeRun.objects.count()) == ("cancelled", 0)
    assert wrong_runs() == []


def test_record_of_a_run_of_the_engine_is_refused(acme: Tenant, tick: Tick, start: Start) -> None:
    run = new_run(acme)
    early = send(acme, later(run, state=RecordState.FAILED), new_node(run))
    with tenant_context(acme):
        save_records(run)

    with pytest.raises(RunTakenError):
        send(acme, later(run))
    refused = perform(tick, start, early)

    assert (refused.state, refused.error_type) == ("discarded", "workflow_run_taken")
    with tenant_context(acme):
        assert (WorkflowRun.objects.get().state, NodeRun.objects.count()) == ("running", 0)


def test_record_with_the_id_of_a_job_is_refused(acme: Tenant) -> None:
    with pytest.raises(RunTakenError):
        send(acme, new_run(acme, run_id=new_job(acme).pk))


def test_write_of_the_engine_does_not_change_a_run_from_outside(in_acme: Tenant) -> None:
    run = external_run(in_acme)
    save_external_record(run, [])

    save_records(later(run, is_external=False, state=RecordState.FAILED), [new_node(run)])

    stored = WorkflowRun.objects.get()
    assert (stored.version, stored.state, stored.is_external) == (1, "running", True)
    assert not NodeRun.objects.exists()


def test_record_of_a_run_of_another_tenant_is_refused(acme: Tenant, globex: Tenant, tick: Tick, start: Start) -> None:
    run = external_run(globex)
    with tenant_context(globex):
        save_external_record(run, [])

    refused = perform(tick, start, send(acme, later(run, state=RecordState.FAILED), new_node(run)))

    assert (refused.state, refused.error_type) == ("discarded", "workflow_run_taken")
    assert str(globex.pk) not in refused.error_message
    with tenant_context(acme):
        assert not WorkflowRun.objects.exists()
    with tenant_context(globex):
        assert (WorkflowRun.objects.get().state, NodeRun.objects.count()) == ("running", 0)


def test_nodes_of_another_run_are_refused(in_acme: Tenant) -> None:
    with pytest.raises(ValueError, match="not to"):
        save_external_record(external_run(in_acme), [new_node(external_run(in_acme))])


def test_large_value_is_offloaded_once(acme: Tenant, tick: Tick, start: Start) -> None:
    run = external_run(acme, outputs={"text": "x" * 20_000})

    for _ in range(2):
        perform(tick, start, send(acme, run))

    with tenant_context(acme):
        assert WorkflowRun.objects.get().outputs_key == Content.objects.get().key


def test_tenant_without_room_keeps_a_preview_of_a_value(in_acme: Tenant) -> None:
    set_tenant_limit(tenant=in_acme, key="storage_bytes", value=100, reason="test")

    assert save_external_record(external_run(in_acme, inputs={"text": "x" * 10_000}), [])

    value = value_of(WorkflowRun.objects.get(), "inputs")
    assert value is not None
    assert (value.key, value.size_bytes, value.is_preview) == (None, 10_011, True)


@pytest.mark.django_db(transaction=True)
def test_concurrent_records_of_a_run_leave_the_newest(acme: Tenant) -> None:
    """Store each on its own connection; two of them insert the run."""
    for _ in range(10):
        records = three_records(acme)
        gate = Barrier(len(records), timeout=30)

        at_once([storing(acme, gate, run, [*nodes, new_node(run, "z")]) for run, nodes in records])

        with tenant_context(acme):
            stored = WorkflowRun.objects.get(pk=records[0][0].run_id)
            assert (stored.version, stored.state, stored.outputs) == (3, "succeeded", {"answer": 42})
            assert NodeRun.objects.filter(run_id=stored.pk).count() == 3


def storing(tenant: Tenant, gate: Barrier, run: RunRecord, nodes: Sequence[NodeRecord]) -> Callable[[], None]:
    def store() -> None:
        try:
            gate.wait()
            with tenant_context(tenant):
                save_external_record(run, nodes)
        finally:
            connection.close()

    return store


def at_once(calls: Sequence[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()


@pytest.mark.parametrize("job_state", ["cancelled", "discarded", "suspended"])
def test_open_run_from_outside_is_shown_as_recorded(acme: Tenant, tick: Tick, start: Start, job_state: str) -> None:
    run = external_run(acme)
    done = perform(tick, start, send(acme, run, new_node(run)))
    assert wrong_runs() == []
    with tenant_context(acme):
        finished_at = None if job_state == "suspended" else timezone.now()
        Job.objects.filter(pk=done.pk).update(state=job_state, finished_at=finished_at)

        shown: Any = get_run(run.run_id)
        node: Any = find_nodes(run.run_id).get()

    assert (shown.shown_state, shown.shown_error_code, node.shown_state) == ("running", "", "running")


def test_storing_is_retried_after_60_120_and_240_seconds() -> None:
    kind = registry.get("workflow_storage")

    assert (kind.max_retries, list(kind.retry_delays_seconds), kind.is_internal) == (3, [60, 120, 240], True)
