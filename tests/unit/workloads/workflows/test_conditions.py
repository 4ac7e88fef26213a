"""Comparisons of values, one row each."""

from __future__ import annotations

import pytest

from tests.unit.workloads.workflows.definitions import condition, each, node, workflow
from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.conditions import choose_case, compare
from workloads.workflows.engine.state import Key, NodeProgress, Status, WorkflowRunProgress, inline
from workloads.workflows.engine.variables import Reading, VariableMissingError


@pytest.mark.parametrize(
    ("left", "operator", "right", "holds"),
    [
        (1, "eq", 1, True),
        (1, "eq", 1.0, True),
        (1, "eq", True, False),  # a boolean is not a number
        (None, "eq", None, True),
        ("a", "ne", "b", True),
        (2, "lt", 3, True),
        ("a", "lt", "b", True),
        ("2", "lt", 3, False),  # of two types
        (None, "ge", 0, False),
        (3, "ge", 3, True),
        (2, "le", 3, True),
        (4, "gt", 3, True),
        ("b", "in", ["a", "b"], True),
        ("b", "in", "abc", False),
        ("abc", "contains", "b", True),
        (["a", "b"], "contains", "b", True),
        ({"a": 1}, "contains", "a", True),
        (3, "contains", 3, False),
        ("x", "exists", None, True),
        (None, "exists", True, False),
        (None, "exists", False, True),
        ("", "empty", None, True),
        ([], "empty", False, False),
        (0, "empty", None, False),
    ],
)
def test_values_are_compared_by_operator(left, operator: str, right, holds: bool) -> None:
    assert compare(left, operator, right) is holds


def reading(path=(), parent=None) -> Reading:
    graph = Graph.read(workflow(node("a"), each("e", [5, 6], node("x"), output={"value": 1})))
    state = WorkflowRunProgress(1, inputs=inline({"n": 3, "list": [{"k": "v"}]}))
    state.steps = {
        Key("a"): NodeProgress(Status.DONE, outputs=inline({"text": "made"})),
        Key("e"): NodeProgress(Status.RUNNING, outputs=inline([5, 6]), count=2),
        Key("x", (1,)): NodeProgress(Status.DONE, outputs=inline({"text": "inner"})),
    }
    return Reading(graph, state, lambda stored: stored[0], path=path, parent=parent)


def test_references_are_resolved_in_their_scope() -> None:
    inside = reading((1,), "e")
    assert inside.look_up("nodes.x.text") == "inner"
    assert inside.render("{{ item }} {{ index }} {{ nodes.a.text }} {{ inputs.n }}") == "6 1 made 3"
    assert reading().look_up("inputs.list.0.k") == "v"
    assert reading().evaluate({"template": "{{ inputs.n }}"}) == "3"
    assert reading().evaluate({"value": {"template": "x"}}) == {"template": "x"}
    for missing in ("inputs.gone", "inputs.list.7", "inputs.n.x", "nodes.x.text"):
        with pytest.raises(VariableMissingError, match=missing):
            reading().look_up(missing)


def test_first_true_case_is_chosen() -> None:
    config = condition("c", ("big", "inputs.n", "gt", 5), ("small", "inputs.n", "gt", 1), ("any", "inputs.n", "gt", 0))
    assert choose_case(config["config"], reading()) == "small"
    assert choose_case(condition("c", ("big", "inputs.gone", "gt", 5))["config"], reading()) == "else"
    both = {"cases": [{"name": "x", "any": [{"ref": "inputs.n", "op": "eq", "value": n} for n in (2, 3)]}]}
    assert choose_case(both, reading()) == "x"
