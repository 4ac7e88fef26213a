"""Loops in definitions and in the planner: rounds are run one at a time, until the last."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.workloads.workflows.definitions import each, graph, node, workflow
from tests.unit.workloads.workflows.planner_runs import Walk
from workloads.workflows.definition.validation import faults_in
from workloads.workflows.engine.resumption import keep_finished
from workloads.workflows.engine.state import Key, Status, inline
from workloads.workflows.engine.tasks import TaskType
from workloads.workflows.engine.variables import Reading

UNTIL = {"all": [{"ref": "nodes.try.text", "op": "eq", "value": "ok"}]}


def loop(*nodes: Any, id_: str = "loop", **fields: Any) -> dict[str, Any]:
    config = {"until": UNTIL, "output": {"ref": "nodes.try.text"}, "graph": graph(*(nodes or [node("try")]))}
    return node(id_, "loop", **{**config, **fields})


def codes(definition: Any) -> list[tuple[str, str]]:
    return [(fault.code, fault.pointer) for fault in faults_in(definition)]


def test_nodes_of_a_loop_read_previous_and_index_and_no_item() -> None:
    good = loop(node("try", template="{{ index }} {{ previous | default('') }}"))
    assert codes(workflow(good)) == []
    bad = loop(node("try", template="{{ item }}"))
    place = "/nodes/1/config/graph/nodes/0/config/template"
    assert codes(workflow(bad)) == [("unknown_variable", place)]
    assert codes(workflow(node("a", template="{{ previous }}"))) == [("unknown_variable", "/nodes/1/config/template")]
    inner = each("each", [1], node("a", template="{{ previous }}"))
    assert codes(workflow(inner)) == [("unknown_variable", place)]


def test_condition_of_a_loop_reads_nodes_that_have_ended() -> None:
    until = {"any": [{"ref": "nodes.later.text", "op": "exists"}]}
    definition = workflow(loop(until=until), node("later"))
    assert codes(definition) == [("variable_not_upstream", "/nodes/1/config/until/any/0/ref")]


@pytest.mark.parametrize("rounds", [0, 101])
def test_number_of_rounds_is_bounded(rounds: int) -> None:
    assert codes(workflow(loop(max_rounds=rounds))) == [("value_invalid", "/nodes/1/config/max_rounds")]


def test_loops_count_for_the_depth() -> None:
    inner: dict[str, Any] = node("try")
    for level in range(6):
        output = {"value": 1}
        inner = loop(inner, id_=f"l{level}", until={"all": [{"ref": "index", "op": "eq", "value": 0}]}, output=output)
    assert [code for code, _ in codes(workflow(inner))] == ["too_deep"]


class Rounds(Walk):
    """A run whose loop is done after the round ``last``."""

    last = 2

    def do(self, task: Any) -> None:
        if task.act is TaskType.COLLECT:
            self.done.append(f"collect {task.index}")
            value = inline({"output": f"o{task.index}", "is_done": task.index == self.last})
            self.planner.close_item(task.key, task.index, value, is_last=task.index == self.last)
        elif task.node.type == "loop" and task.act is TaskType.RUN:
            self.planner.open_items(task.key, 5, inline("first"))
        else:
            super().do(task)


def test_rounds_run_one_at_a_time_until_the_last() -> None:
    walk = Rounds(workflow(loop()))
    # A restart after each step, as by a worker that dies.
    walk.go(after=walk.begin)
    rounds = [text for number in range(3) for text in (f"try@{number}", f"collect {number}")]
    assert walk.done == ["start", *rounds, "gather loop", "end"]


def test_previous_is_the_output_of_the_round_before() -> None:
    walk = Rounds(workflow(loop(), node("after")))
    seen = []
    for _ in range(20):
        tasks = walk.planner.plan(0)
        for task in tasks:
            if task.key.node_id == "try":
                load = lambda stored: stored[0] if stored else None  # noqa: E731
                reading = Reading(walk.graph, walk.state, load, path=task.key.path, parent="loop")
                seen.append((reading.look_up("previous"), reading.look_up("index")))
            walk.do(task)
    assert seen == [("first", 0), ("o0", 1), ("o1", 2)]


def test_failed_round_is_repeated_by_the_run_that_continues() -> None:
    walk = Rounds(workflow(loop()))
    for _ in range(4):
        for task in walk.planner.plan(0):
            walk.do(task)
    assert set(walk.state.steps[Key("loop")].items) == {0}
    walk.state.steps[Key("loop")].status = Status.FAILED
    kept = keep_finished(walk.state, walk.graph)
    assert kept is not None
    assert (set(kept.steps[Key("loop")].items), kept.steps[Key("loop")].count) == ({0}, 5)


def test_loop_that_was_not_done_in_time_begins_again() -> None:
    walk = Rounds(workflow(loop()))
    walk.last = 99
    for _ in range(12):
        for task in walk.planner.plan(0):
            if task.act is not TaskType.GATHER:
                walk.do(task)
    assert set(walk.state.steps[Key("loop")].items) == set(range(5))
    walk.state.steps[Key("loop")].status = Status.FAILED
    kept = keep_finished(walk.state, walk.graph)
    assert kept is not None
    assert Key("loop") not in kept.steps
