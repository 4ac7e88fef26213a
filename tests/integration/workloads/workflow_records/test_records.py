"""Runs and nodes as stored in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenants.context import tenant_context
from tenants.database.ids import uuid7
from tenants.limits.service import set_tenant_limit
from tenants.models import Tenant
from tests.integration.workloads.workflow_records.conftest import ended, later, new_node, new_run
from tests.integration.workloads.workflow_records.record_helpers import stored_rows
from tests.plain_values import plain_only
from tests.platform_settings import ChangePlatformSettings
from tests.workflow_histories import arrivals, strays
from workloads.files.models import Content
from workloads.files.references import used_keys
from workloads.workflows.records.models import NodeRun, WorkflowRun
from workloads.workflows.records.offloading import value_of
from workloads.workflows.records.records import TERMINAL_STATES, RecordState
from workloads.workflows.records.repository import save_records
from workloads.workflows.records.rows import run_row
from workloads.workflows.records.upserts import UPSERT_NODES, UPSERT_RUNS, upsert_runs


def test_run_is_stored_with_its_nodes(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    node = new_node(run, tokens=5)

    save_records(run, [node, new_node(run, "each", path=(0, 2))])
    save_records(later(run, state=RecordState.SUCCEEDED, outputs={"a": 1}, total_steps=2), [ended(node)])

    stored = WorkflowRun.objects.get()
    assert (stored.state, stored.version, stored.total_steps) == ("succeeded", 2, 2)
    assert (stored.inputs, stored.outputs, stored.graph) == (run.inputs, {"a": 1}, run.graph)
    start, each = NodeRun.objects.order_by("-node_id")
    assert (start.state, start.inputs, start.outputs) == ("succeeded", node.inputs, {"text": "bye"})
    assert (start.run_version, start.elapsed_seconds) == (2, 2.0)
    assert (each.path, each.run_version) == ([0, 2], 1)


@plain_only
def test_many_nodes_are_two_statements(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    nodes = [new_node(run, f"n{number}") for number in range(200)]

    with CaptureQueriesContext(connection) as queries:
        save_records(run, nodes)

    assert len(queries) == 2
    assert NodeRun.objects.count() == 200


def test_write_without_changes_writes_nothing(in_acme: Tenant) -> None:
    run = new_run(in_acme)

    assert upsert_runs([run_row(run)]) == 1
    assert upsert_runs([run_row(run)]) == 0


def test_nodes_of_another_run_are_refused(in_acme: Tenant) -> None:
    run = new_run(in_acme)

    with pytest.raises(ValueError, match="not to"):
        save_records(run, [new_node(new_run(in_acme))])


def test_failed_transaction_stores_nothing(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    with pytest.raises(RuntimeError), transaction.atomic():
        save_records(run, [new_node(run)])
        raise RuntimeError

    assert not WorkflowRun.objects.exists()


def test_run_of_another_tenant_can_be_neither_written_nor_taken_over(acme: Tenant, globex: Tenant) -> None:
    run = new_run(acme)
    with tenant_context(acme):
        save_records(run)

    # By its own tenant's id, and by the other's.
    for tenant in (acme, globex):
        with pytest.raises((ProgrammingError, IntegrityError)), tenant_context(globex):
            save_records(new_run(tenant, run_id=run.run_id, state=RecordState.FAILED, version=9))
    with tenant_context(acme):
        assert WorkflowRun.objects.get().state == "running"


@pytest.mark.parametrize(("statement", "model"), [(UPSERT_RUNS, WorkflowRun), (UPSERT_NODES, NodeRun)])
def test_upsert_names_every_column_of_its_model(statement: str, model: Any) -> None:
    columns = sorted(field.column for field in model._meta.concrete_fields)
    lists = re.search(r"AS t \((.*?)\)\s+SELECT(.*?)FROM.*? AS r\((.*?)\)\s+ON CONFLICT", statement, re.DOTALL)
    assert lists is not None

    for named in lists.groups():
        assert sorted(part.split()[0] for part in named.split(",")) == columns


PLAIN = {"inputs": None, "graph": None, "started_at": None}
ENDED = {"version": 3, "state": RecordState.SUCCEEDED, "outputs": {"answer": 42}}


@plain_only
@pytest.mark.parametrize(
    ("stored", "late", "kept"),
    [
        pytest.param({"version": 2}, {"state": RecordState.FAILED}, {"version": 2, "state": "running"}, id="older"),
        pytest.param(
            {"version": 2}, {"version": 2, "state": RecordState.FAILED}, {"version": 2, "state": "running"}, id="equal"
        ),
        pytest.param(
            {"version": 2}, {"version": 3, "state": RecordState.FAILED}, {"version": 3, "state": "failed"}, id="newer"
        ),
        pytest.param(ENDED, {"version": 4}, {"version": 3, "state": "succeeded"}, id="open_after_end"),
        pytest.param(
            {"version": 2, "state": RecordState.CANCELLED},
            {"version": 9, "state": RecordState.SUCCEEDED},
            {"version": 2, "state": "cancelled"},
            id="end_after_end",
        ),
        pytest.param(
            ENDED,
            {"inputs": {"question": "?"}, "graph": {"nodes": []}},
            {"version": 3, "inputs": {"question": "?"}, "outputs": {"answer": 42}, "graph": {"nodes": []}},
            id="older_fills_in",
        ),
        pytest.param(
            ENDED,
            {"version": 4, "outputs": {"answer": 43}, "graph": {}},
            {"outputs": {"answer": 42}, "outputs_version": 3, "graph": None},
            id="values_after_end",
        ),
        pytest.param(
            {"inputs": {"a": 1}}, {"version": 2}, {"version": 2, "inputs": {"a": 1}, "inputs_version": 1}, id="unsaid"
        ),
    ],
)
def test_late_run_is_merged_by_version(
    in_acme: Tenant, stored: Mapping[str, Any], late: Mapping[str, Any], kept: Mapping[str, Any]
) -> None:
    run = new_run(in_acme, **PLAIN)
    save_records(replace(run, **stored))

    save_records(replace(run, **late))

    assert WorkflowRun.objects.values(*kept).get() == kept


@plain_only
@pytest.mark.django_db
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_do_not_depend_on_order_and_repetition_of_writes(acme: Tenant, data: st.DataObject) -> None:
    """Write one run shuffled and its copy in order; no write reverts a row or puts a node ahead of its run."""
    run_id, copy_id = uuid7(), uuid7()
    history, arrived = data.draw(arrivals(run_id=run_id, tenant_id=acme.pk))
    with tenant_context(acme):
        before: Heads = {}
        for write in arrived:
            save_records(write.run, write.nodes)
            before = checked_heads(run_id, before)
            node_versions = NodeRun.objects.filter(run_id=run_id).values_list("run_version", flat=True)
            assert all(version <= WorkflowRun.objects.get(pk=run_id).version for version in node_versions)
        for write in history:
            nodes = [replace(node, run_id=copy_id) for node in write.nodes]
            save_records(replace(write.run, run_id=copy_id), nodes)
        assert stored_rows(run_id) == stored_rows(copy_id)


@pytest.mark.django_db
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_contradicting_writes_never_revert_a_row(acme: Tenant, data: st.DataObject) -> None:
    run_id = uuid7()
    before: Heads = {}
    with tenant_context(acme):
        for write in data.draw(strays(run_id=run_id, tenant_id=acme.pk)):
            save_records(write.run, write.nodes)
            before = checked_heads(run_id, before)


type Heads = dict[UUID, tuple[int, str, Any]]


def checked_heads(run_id: UUID, before: Heads) -> Heads:
    """Return version, state and end of each row; fail if one is older than `before` or changed after its end."""
    rows = [*WorkflowRun.objects.filter(pk=run_id), *NodeRun.objects.filter(run_id=run_id)]
    after: Heads = {row.pk: (row.version, row.state, row.ended_at) for row in rows}
    for key, (version, state, ended_at) in before.items():
        assert after[key][0] >= version
        assert state not in TERMINAL_STATES or after[key] == (version, state, ended_at)
    return after


def test_large_value_is_offloaded_and_leaves_a_preview(in_acme: Tenant) -> None:
    text = "ü" * 20_000
    run = new_run(in_acme, inputs={"text": text})

    save_records(run, [new_node(run, inputs={"text": text})])

    stored = WorkflowRun.objects.get()
    value = value_of(stored, "inputs")
    assert value is not None
    assert value.is_preview
    assert value.content.startswith('{"text":"üü')
    assert len(value.content) == 1_000
    assert value.size_bytes == 40_000 + len('{"text":""}')
    assert value.read() == {"text": text}
    # One copy, because both have the same content.
    assert Content.objects.count() == 1
    assert NodeRun.objects.get().inputs_key == value.key
    assert used_keys([str(value.key)]) == {value.key}


def test_inline_size_of_values_is_a_setting(in_acme: Tenant, change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(WORKFLOW_INLINE_VALUE_BYTES=10)
    save_records(new_run(in_acme, inputs={"a": 1}, outputs={"text": "long enough"}))

    stored = WorkflowRun.objects.get()
    assert (stored.inputs, stored.inputs_key) == ({"a": 1}, None)
    assert stored.outputs == '{"text":"long enough"}'
    assert stored.outputs_key is not None


def test_run_of_a_tenant_without_room_keeps_previews_of_values(in_acme: Tenant) -> None:
    set_tenant_limit(tenant=in_acme, key="storage_bytes", value=100, reason="test")

    save_records(new_run(in_acme, inputs={"text": "x" * 10_000}))

    value = value_of(WorkflowRun.objects.get(), "inputs")
    assert value is not None
    assert (value.key, value.size_bytes, value.is_preview) == (None, 10_011, True)
    assert value.read() == value.content
