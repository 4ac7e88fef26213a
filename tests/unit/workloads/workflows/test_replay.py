"""What a replay keeps."""

from __future__ import annotations

import pytest

from tests.unit.workloads.workflows.definitions import node, workflow
from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.replay import find_kept

DIAMOND = workflow(*map(node, "abcd"), ways=["start > a", "a > b", "a > c", "b > d", "c > d", "d > end"])
DONE = dict.fromkeys(["start", "a", "b", "c", "d", "end"], "succeeded")


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [("start", []), ("a", ["start"]), ("b", ["start", "a", "c"]), ("d", ["start", "a", "b", "c"])],
)
def test_nodes_beside_and_before_the_chosen_one_are_kept(chosen: str, kept: list[str]) -> None:
    graph = Graph.read(DIAMOND)
    assert sorted(find_kept(graph, graph, DONE, chosen)) == sorted(kept)


def test_node_after_a_node_that_had_not_ended_is_run_again() -> None:
    graph = Graph.read(DIAMOND)
    assert sorted(find_kept(graph, graph, {**DONE, "b": "cancelled"}, "c")) == ["a", "start"]


def test_skipped_node_is_neither_kept_nor_hinders_the_next_one() -> None:
    graph = Graph.read(DIAMOND)
    assert sorted(find_kept(graph, graph, {**DONE, "b": "skipped"}, "end")) == ["a", "c", "d", "start"]


def test_node_that_differs_is_run_again_with_those_after_it() -> None:
    former = Graph.read(DIAMOND)
    changed = Graph.read(
        workflow(
            node("a"), node("b", template="other"), node("c"), node("d"),
            ways=["start > a", "a > b", "a > c", "b > d", "c > d", "d > end"], inputs={"x": {"type": "string"}},
        )
    )  # fmt: skip
    assert sorted(find_kept(changed, former, DONE, "end")) == ["a", "c", "start"]
