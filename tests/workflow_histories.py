"""Histories of a workflow run as an engine writes them: the writes, and their possible orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from workloads.workflows.records.records import NodeRecord, RecordState, RunRecord

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
GRAPH = {
    "nodes": [
        {"id": "start", "type": "start", "title": "Start"},
        {"id": "each", "type": "iteration", "title": "Each"},
        {"id": "ask", "type": "llm", "title": "Ask", "parent": "each"},
    ],
    "edges": [{"source": "start", "target": "each"}],
}
_PLACES = (("start", ()), ("each", ()), ("ask", (0,)), ("ask", (1,)))
_ENDS = st.sampled_from([RecordState.SUCCEEDED, RecordState.FAILED, RecordState.CANCELLED, RecordState.SKIPPED])
_OPEN = st.sampled_from([RecordState.RUNNING, RecordState.WAITING])
_TEXTS = st.text(alphabet="ab\0ü", max_size=3)
_VALUES = st.none() | st.dictionaries(_TEXTS, st.integers(-5, 5) | _TEXTS, max_size=2)


@dataclass(frozen=True)
class WrittenTogether:
    """Write of the engine."""

    run: RunRecord
    nodes: Sequence[NodeRecord]


@st.composite
def histories(draw: st.DrawFn, *, run_id: UUID, tenant_id: UUID, ends: bool = True) -> list[WrittenTogether]:
    """Draw a run from its first write to its last: nodes start, continue and end, then the run ends."""
    length = draw(st.integers(2, 6))
    versions = dict.fromkeys(_PLACES, 0)
    ended: set[tuple[str, tuple[int, ...]]] = set()
    history = []
    for number in range(1, length + 1):
        is_last = number == length and ends
        changed = draw(st.lists(st.sampled_from(_PLACES), unique=True, max_size=3))
        if is_last:
            # An engine that ends leaves no node open.
            changed = [place for place in _PLACES if versions[place]]
        nodes = []
        for place in changed:
            if place in ended:
                continue
            versions[place] += 1
            state = draw(_ENDS if is_last or draw(st.booleans()) else _OPEN)
            if state.is_terminal:
                ended.add(place)
            nodes.append(_node(draw, run_id, place, versions[place], state, number))
        state = draw(_ENDS if is_last else _OPEN)
        history.append(WrittenTogether(_run(draw, run_id, tenant_id, number, state), nodes))
    return history


@st.composite
def arrivals(draw: st.DrawFn, *, run_id: UUID, tenant_id: UUID) -> tuple[list[WrittenTogether], list[WrittenTogether]]:
    """Draw a history, and the same writes in another order with repetitions; all arrive in the end."""
    history = draw(histories(run_id=run_id, tenant_id=tenant_id))
    repeated = draw(st.lists(st.sampled_from(history), max_size=4))
    return history, draw(st.permutations([*history, *repeated]))


@st.composite
def strays(draw: st.DrawFn, *, run_id: UUID, tenant_id: UUID) -> list[WrittenTogether]:
    """Draw writes that no engine makes together: any versions and states, even after an end."""
    states = st.sampled_from(list(RecordState))
    writes = []
    for _ in range(draw(st.integers(1, 6))):
        version = draw(st.integers(1, 4))
        places = draw(st.lists(st.sampled_from(_PLACES), unique=True, max_size=3))
        nodes = [_node(draw, run_id, place, draw(st.integers(1, 4)), draw(states), version) for place in places]
        writes.append(WrittenTogether(_run(draw, run_id, tenant_id, version, draw(states)), nodes))
    return writes


def body_of(run: RunRecord, *nodes: NodeRecord) -> dict[str, Any]:
    """Return records as a client posts them, without unset fields."""
    workflow = {"id": str(run.workflow_id), "version": run.workflow_version, "name": run.workflow_name}
    said = {"id": str(run.run_id), "workflow": workflow, "graph": run.graph}
    totals = {"total_tokens": run.total_tokens, "total_steps": run.total_steps}
    return {
        "run": _without_none({**said, **totals, **_body_of(run)}),
        "nodes": [
            _without_none({"node": node.node_id, "path": list(node.path), "type": node.node_type, **_body_of(node)})
            | {"attempt": node.attempt, "tokens": node.tokens}
            for node in nodes
        ],
    }


def _body_of(record: RunRecord | NodeRecord) -> dict[str, Any]:
    error = {"code": record.error_code, "message": record.error_message}
    return {
        "version": record.version,
        "state": record.state.value,
        "inputs": record.inputs,
        "outputs": record.outputs,
        "error": error if record.error_code else None,
        "started_at": None if record.started_at is None else record.started_at.isoformat(),
        "ended_at": None if record.ended_at is None else record.ended_at.isoformat(),
    }


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _run(draw: st.DrawFn, run_id: UUID, tenant_id: UUID, version: int, state: RecordState) -> RunRecord:
    return RunRecord(
        run_id=run_id,
        tenant_id=tenant_id,
        workflow_id=UUID(int=1),
        workflow_version=3,
        workflow_name="Answers",
        job_id=UUID(int=2),
        version=version,
        state=state,
        inputs=draw(_VALUES),
        outputs=draw(_VALUES),
        error_code=draw(_TEXTS),
        started_at=draw(_moments()),
        ended_at=_at(version) if state.is_terminal else None,
        total_steps=version,
        graph=GRAPH if draw(st.booleans()) else None,
    )


def _node(
    draw: st.DrawFn, run_id: UUID, place: tuple[str, tuple[int, ...]], version: int, state: RecordState, number: int
) -> NodeRecord:
    node_id, path = place
    return NodeRecord(
        run_id=run_id,
        node_id=node_id,
        path=path,
        version=version,
        node_type="template",
        state=state,
        attempt=draw(st.integers(1, 3)),
        inputs=draw(_VALUES),
        outputs=draw(_VALUES),
        started_at=draw(_moments()),
        ended_at=_at(number) if state.is_terminal else None,
        tokens=number,
    )


def _moments() -> st.SearchStrategy[datetime | None]:
    return st.none() | st.integers(0, 5).map(_at)


def _at(seconds: int) -> datetime:
    return BEGIN + timedelta(seconds=seconds, milliseconds=seconds * 100)
