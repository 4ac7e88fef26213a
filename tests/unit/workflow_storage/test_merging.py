"""Late, repeated and disordered writes, without a database."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.processors.workflow_storage.merging import NODES, RUNS, Row, collapse, merge
from scheduling.processors.workflow_storage.records import TERMINAL_STATES, RunRecord, RunState
from scheduling.processors.workflow_storage.rows import node_row, run_row
from tests.workflow_histories import WrittenTogether, arrivals

RUN, TENANT = UUID(int=10), UUID(int=11)


def rows_after(writes: list[WrittenTogether]) -> tuple[list[Row], list[Row]]:
    runs = collapse((run_row(write.run) for write in writes), RUNS)
    nodes = collapse(
        (node_row(node, tenant_id=TENANT, run_version=write.run.version) for write in writes for node in write.nodes),
        NODES,
    )
    # Each row is made with an id of its own; the first that comes keeps it.
    return runs, [{**node, "id": ""} for node in nodes]


def run(version: int, state: RunState = RunState.RUNNING, **said: object) -> RunRecord:
    plain = RunRecord(
        run_id=RUN,
        tenant_id=TENANT,
        workflow_id=UUID(int=1),
        workflow_version=1,
        job_id=UUID(int=2),
        version=version,
        state=state,
    )
    return replace(plain, **said)  # type: ignore[arg-type]


@given(arrivals(run_id=RUN, tenant_id=TENANT))
def test_the_order_and_the_number_of_writes_do_not_matter(
    case: tuple[list[WrittenTogether], list[WrittenTogether]],
) -> None:
    history, arrived = case

    assert rows_after(arrived) == rows_after(history)


@given(arrivals(run_id=RUN, tenant_id=TENANT), st.data())
def test_no_arrival_takes_a_row_back(
    case: tuple[list[WrittenTogether], list[WrittenTogether]], data: st.DataObject
) -> None:
    _, arrived = case
    cut = data.draw(st.integers(1, len(arrived)))

    (before,), nodes_before = rows_after(arrived[:cut])
    (after,), nodes_after = rows_after(arrived)

    latest = {NODES.identity(node): node for node in nodes_after}
    for old, new in [(before, after), *((node, latest[NODES.identity(node)]) for node in nodes_before)]:
        assert new["version"] >= old["version"]
        if old["state"] in TERMINAL_STATES:
            assert (new["state"], new["version"], new["ended_at"]) == (old["state"], old["version"], old["ended_at"])


@given(arrivals(run_id=RUN, tenant_id=TENANT))
def test_no_node_is_ahead_of_its_run(case: tuple[list[WrittenTogether], list[WrittenTogether]]) -> None:
    _, arrived = case
    for cut in range(1, len(arrived) + 1):
        (run_after,), nodes = rows_after(arrived[:cut])
        assert all(node["run_version"] <= run_after["version"] for node in nodes)


@pytest.mark.parametrize(
    ("stored", "late", "state"),
    [
        (run(2), run(1, RunState.FAILED), "running"),  # an older write
        (run(2), run(2, RunState.FAILED), "running"),  # another one of the same version
        (run(2), run(3, RunState.FAILED), "failed"),
        (run(2, RunState.FAILED), run(3), "failed"),  # nothing follows an end
        (run(2, RunState.CANCELLED), run(9, RunState.SUCCEEDED), "cancelled"),
    ],
)
def test_the_state_is_that_of_the_newest_write_before_an_end(stored: RunRecord, late: RunRecord, state: str) -> None:
    assert merge(run_row(stored), run_row(late), RUNS)["state"] == state


def test_an_older_write_fills_in_what_it_alone_has_said() -> None:
    ended = run_row(run(3, RunState.SUCCEEDED, outputs={"answer": 42}))

    merged = merge(ended, run_row(run(1, inputs={"question": "?"}, graph={"nodes": []})), RUNS)

    assert merged["inputs"] == {"question": "?"}
    assert merged["outputs"] == {"answer": 42}
    assert merged["graph"] == {"nodes": []}
    assert (merged["state"], merged["version"]) == ("succeeded", 3)


def test_a_write_beyond_an_end_brings_no_values_either() -> None:
    ended = run_row(run(3, RunState.SUCCEEDED, outputs={"answer": 42}))

    assert merge(ended, run_row(run(4, outputs={"answer": 43}, graph={})), RUNS) is ended


def test_a_value_that_a_newer_write_does_not_say_stays() -> None:
    first = run_row(run(1, inputs={"a": 1}))

    assert merge(first, run_row(run(2)), RUNS)["inputs"] == {"a": 1}
