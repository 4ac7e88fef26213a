"""Runs and nodes as they are stored, on real PostgreSQL."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from scheduling.processors.files.models import Content
from scheduling.processors.files.references import used_keys
from scheduling.processors.workflow_storage.backends import get_records
from scheduling.processors.workflow_storage.exceptions import RunNotStoredError
from scheduling.processors.workflow_storage.merging import NODES, RUNS, Row, Shape, collapse
from scheduling.processors.workflow_storage.models import NodeRun, WorkflowRun
from scheduling.processors.workflow_storage.offloading import value_of
from scheduling.processors.workflow_storage.records import TERMINAL_STATES, RunState
from scheduling.processors.workflow_storage.repository import SynchronousRecords, Write
from scheduling.processors.workflow_storage.rows import run_row
from scheduling.processors.workflow_storage.upserts import upsert
from tenants.context import tenant_context
from tenants.ids import uuid7
from tenants.models import Tenant
from tenants.services.limits import set_tenant_limit
from tests.integration.workflow_storage.conftest import ended, later, new_node, new_run
from tests.workflow_histories import WrittenTogether, arrivals, strays

RECORDS = SynchronousRecords()


def test_a_run_is_stored_with_its_nodes(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    node = new_node(run, tokens=5)

    RECORDS.save_many(run, [node, new_node(run, "each", path=(0, 2))])
    RECORDS.save_many(later(run, state=RunState.SUCCEEDED, outputs={"a": 1}, total_steps=2), [ended(node)])

    stored = WorkflowRun.objects.get()
    assert (stored.state, stored.version, stored.total_steps) == ("succeeded", 2, 2)
    assert (stored.inputs, stored.outputs, stored.graph) == (run.inputs, {"a": 1}, run.graph)
    start, each = NodeRun.objects.order_by("-node_id")
    assert (start.state, start.inputs, start.outputs) == ("succeeded", node.inputs, {"text": "bye"})
    assert (start.run_version, start.elapsed_seconds) == (2, 2.0)
    assert (each.path, each.run_version) == ([0, 2], 1)


def test_many_nodes_are_two_statements(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    nodes = [new_node(run, f"n{number}") for number in range(200)]

    with CaptureQueriesContext(connection) as queries:
        RECORDS.save_many(run, nodes)

    assert len(queries) == 2
    assert NodeRun.objects.count() == 200


def test_a_write_that_says_nothing_new_writes_nothing(in_acme: Tenant) -> None:
    run = new_run(in_acme)

    assert upsert([run_row(run)], RUNS) == 1
    assert upsert([run_row(run)], RUNS) == 0


def test_a_node_alone_belongs_to_the_version_that_its_run_has(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    RECORDS.save_run(run)
    RECORDS.save_run(later(run))

    RECORDS.save_node(new_node(run))

    assert NodeRun.objects.get().run_version == 2


def test_a_node_of_no_run_is_refused(in_acme: Tenant) -> None:
    with pytest.raises(RunNotStoredError):
        RECORDS.save_node(new_node(new_run(in_acme)))


def test_nodes_of_another_run_are_refused(in_acme: Tenant) -> None:
    run = new_run(in_acme)

    with pytest.raises(ValueError, match="not of"):
        RECORDS.save_many(run, [new_node(new_run(in_acme))])


def test_nothing_stays_of_a_transaction_that_fails(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    with pytest.raises(RuntimeError), transaction.atomic():
        RECORDS.save_many(run, [new_node(run)])
        raise RuntimeError

    assert not WorkflowRun.objects.exists()


def test_another_tenants_run_cannot_be_written_nor_taken_over(acme: Tenant, globex: Tenant) -> None:
    run = new_run(acme)
    with tenant_context(acme):
        RECORDS.save_run(run)

    # By its own tenant's name, and by the other's id.
    for tenant in (acme, globex):
        with pytest.raises((ProgrammingError, IntegrityError)), tenant_context(globex):
            RECORDS.save_run(new_run(tenant, run_id=run.run_id, state=RunState.FAILED, version=9))
    with tenant_context(globex), pytest.raises(RunNotStoredError):
        RECORDS.save_node(new_node(run))
    with tenant_context(acme):
        assert WorkflowRun.objects.get().state == "running"


@pytest.mark.django_db
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_and_repetition_of_writes_leaves_the_same_rows(acme: Tenant, data: st.DataObject) -> None:
    """Statement by statement as in Python, whatever comes when; in the end as if all had come once and in order."""
    run_id = uuid7()
    history, arrived = data.draw(arrivals(run_id=run_id, tenant_id=acme.pk))
    with tenant_context(acme):
        for count in range(1, len(arrived) + 1):
            latest = arrived[count - 1]
            RECORDS.save_many(latest.run, latest.nodes)
            assert stored_rows(run_id) == expected_rows(arrived[:count])
            node_versions = NodeRun.objects.filter(run_id=run_id).values_list("run_version", flat=True)
            assert all(version <= WorkflowRun.objects.get(pk=run_id).version for version in node_versions)
        assert stored_rows(run_id) == expected_rows(history)


@pytest.mark.django_db
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_writes_that_contradict_one_another_never_take_a_row_back(acme: Tenant, data: st.DataObject) -> None:
    run_id = uuid7()
    writes = data.draw(strays(run_id=run_id, tenant_id=acme.pk))
    before: dict[tuple[Any, ...], tuple[int, str]] = {}
    with tenant_context(acme):
        for count, write in enumerate(writes, start=1):
            RECORDS.save_many(write.run, write.nodes)
            assert stored_rows(run_id) == expected_rows(writes[:count])
            rows = [*WorkflowRun.objects.filter(pk=run_id), *NodeRun.objects.filter(run_id=run_id)]
            after = {(row.pk,): (row.version, row.state) for row in rows}
            for key, (version, state) in before.items():
                assert after[key][0] >= version
                assert state not in TERMINAL_STATES or after[key] == (version, state)
            before = after


def stored_rows(run_id: Any) -> list[dict[str, Any]]:
    rows = [*WorkflowRun.objects.filter(pk=run_id), *NodeRun.objects.filter(run_id=run_id)]
    shapes = {WorkflowRun: RUNS, NodeRun: NODES}
    return _in_order([_comparable({**row.__dict__}, shapes[type(row)]) for row in rows])


def expected_rows(writes: list[WrittenTogether]) -> list[dict[str, Any]]:
    parts = [Write.of_run(write.run, write.nodes) for write in writes]
    runs = collapse([part.run for part in parts if part.run is not None], RUNS)
    nodes = collapse([row for part in parts for row in part.nodes], NODES)
    return _in_order([_comparable(row, RUNS) for row in runs] + [_comparable(row, NODES) for row in nodes])


def _comparable(row: Row, shape: Shape) -> dict[str, Any]:
    columns = [*shape.fixed, *shape.head, *shape.values, *shape.once, *shape.first, *shape.last]
    compared = {name: row[name] for name in columns if shape is RUNS or name != "id"}
    return {
        name: value.isoformat(timespec="microseconds") if hasattr(value, "isoformat") else _plain(value)
        for name, value in compared.items()
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | str | dict | list) else str(value)


def _in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def test_a_large_value_goes_to_the_file_storage_and_leaves_its_beginning(in_acme: Tenant) -> None:
    text = "ü" * 20_000
    run = new_run(in_acme, inputs={"text": text})

    RECORDS.save_many(run, [new_node(run, inputs={"text": text})])

    stored = WorkflowRun.objects.get()
    value = value_of(stored, "inputs")
    assert value is not None
    assert value.is_preview
    assert value.content.startswith('{"text":"üü')
    assert len(value.content) == 1_000
    assert value.size_bytes == 40_000 + len('{"text":""}')
    assert value.read() == {"text": text}
    # One copy, for both say the same.
    assert Content.objects.count() == 1
    assert NodeRun.objects.get().inputs_key == value.key
    assert used_keys([str(value.key)]) == {value.key}


def test_how_large_is_large_is_a_setting(in_acme: Tenant, settings: Settings) -> None:
    settings.WORKFLOW_INLINE_VALUE_BYTES = 10
    RECORDS.save_run(new_run(in_acme, inputs={"a": 1}, outputs={"text": "long enough"}))

    stored = WorkflowRun.objects.get()
    assert (stored.inputs, stored.inputs_key) == ({"a": 1}, None)
    assert stored.outputs == '{"text":"long enough"}'
    assert stored.outputs_key is not None


def test_a_tenant_without_room_keeps_the_beginning_and_the_run_goes_on(in_acme: Tenant) -> None:
    set_tenant_limit(tenant=in_acme, key="storage_bytes", value=100, reason="test")

    RECORDS.save_run(new_run(in_acme, inputs={"text": "x" * 10_000}))

    value = value_of(WorkflowRun.objects.get(), "inputs")
    assert value is not None
    assert (value.key, value.size_bytes, value.is_preview) == (None, 10_011, True)
    assert value.read() == value.content


def test_the_synchronous_way_is_the_default() -> None:
    assert isinstance(get_records(), SynchronousRecords)
