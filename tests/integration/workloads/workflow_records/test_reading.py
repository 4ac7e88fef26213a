"""Reading of runs: a run and its nodes are of one moment, even during writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants.models import Tenant
from tests.integration.workloads.workflow_records.conftest import ended, later, new_node, new_run
from workloads.workflows.records import queries as selectors
from workloads.workflows.records.models import WorkflowRun
from workloads.workflows.records.queries import RunPicture, read_picture
from workloads.workflows.records.records import TERMINAL_STATES, RecordState, RunRecord
from workloads.workflows.records.repository import save_records


def assert_is_one_moment(picture: RunPicture) -> None:
    assert all(node.run_version <= picture.run.version for node in picture.nodes)
    if picture.run.shown_state in TERMINAL_STATES:
        assert {node.shown_state for node in picture.nodes} <= TERMINAL_STATES


@pytest.fixture
def written_between(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Callable[[], None]]], None]:
    """Let each of the writes happen just after a reader has read the run."""

    def plant(writes: list[Callable[[], None]]) -> None:
        read = selectors.get_run

        def read_then_write(run_id: UUID) -> WorkflowRun:
            run = read(run_id)
            if writes:
                writes.pop(0)()
            return run

        monkeypatch.setattr(selectors, "get_run", read_then_write)

    return plant


def steps_of(run: RunRecord) -> list[Callable[[], None]]:
    """Return five writes: four nodes one after the other, and the end with the last of them."""
    writes: list[Callable[[], None]] = []
    node: Any = None
    for number in range(5):
        run = later(run)
        changed = [] if node is None else [ended(node)]
        node = new_node(run, f"n{number}")
        if number == 4:
            run = later(run, state=RecordState.SUCCEEDED, outputs={"answer": 42})
            writes.append(lambda run=run, changed=changed: save_records(run, changed))  # type: ignore[misc]
        else:
            writes.append(lambda run=run, nodes=[*changed, node]: save_records(run, nodes))  # type: ignore[misc]
    return writes


@pytest.mark.parametrize(("count", "version"), [(1, 7), (2, 7), (5, 4)])
def test_run_written_while_it_is_read_is_of_one_moment(
    in_acme: Tenant, written_between: Callable[[list[Callable[[], None]]], None], count: int, version: int
) -> None:
    run = new_run(in_acme)
    save_records(run)
    writes = steps_of(run)
    for write in writes[:-count]:
        write()
    written_between(writes[-count:])

    picture = read_picture(run.run_id, most_nodes=100)

    assert_is_one_moment(picture)
    assert picture.run.version == version
    # A reader that sees the end must see the outputs, because it stops polling.
    assert picture.run.shown_state not in TERMINAL_STATES or picture.run.outputs == {"answer": 42}


def test_page_of_many_nodes_is_two_statements_without_values(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    save_records(run, [new_node(run, f"n{number}", inputs={"secret": "x"}) for number in range(50)])

    with CaptureQueriesContext(connection) as queries:
        picture = read_picture(run.run_id, most_nodes=40)
        shown = [(node.shown_state, node.inputs_bytes, node.run_version) for node in picture.nodes]

    assert shown == [("running", 14, 1)] * 40
    assert len(queries) == 2
    assert '"workflow_storage_noderun"."inputs",' not in queries[1]["sql"]


def test_open_node_of_an_ended_run_is_shown_as_cancelled(in_acme: Tenant) -> None:
    run = new_run(in_acme)
    save_records(run, [new_node(run)])
    save_records(later(run, state=RecordState.FAILED))

    (node,) = read_picture(run.run_id, most_nodes=10).nodes

    assert (node.state, node.shown_state) == ("running", "cancelled")
    # A late write records the real end.
    save_records(later(run), [ended(new_node(run))])
    (node,) = read_picture(run.run_id, most_nodes=10).nodes
    assert node.shown_state == "succeeded"


def test_list_of_open_runs_uses_their_index(in_acme: Tenant) -> None:
    for state in [RecordState.SUCCEEDED] * 300 + [RecordState.RUNNING]:
        save_records(new_run(in_acme, state=state))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    runs = selectors.find_runs(selectors.RunFilter(states=("running",))).order_by("-id")[:50]

    assert "workflow_run_open" in runs.explain()
