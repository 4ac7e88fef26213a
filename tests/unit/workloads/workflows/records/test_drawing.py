"""Graphs and durations as shapes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.workflows.records.drawing import (
    BOX_HEIGHT,
    BOX_WIDTH,
    MAX_BOXES,
    TIMELINE_UNITS,
    NodeBar,
    draw_bars,
    draw_graph,
)

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def graph(*ids: str, edges: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "nodes": [{"id": node_id, "type": "template", "title": node_id.title()} for node_id in ids],
        "edges": [{"source": source, "target": target} for source, target in edges],
    }


def test_node_is_drawn_to_the_right_of_its_predecessors() -> None:
    (drawing,) = draw_graph(graph("a", "b", "c", "d", edges=[("a", "b"), ("b", "d"), ("a", "d"), ("a", "c")]), [])

    x = {box.node_id: box.x for box in drawing.boxes}
    assert x["a"] < x["b"] == x["c"] < x["d"]
    assert len(drawing.lines) == 4


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20),
)
def test_boxes_never_overlap_and_stay_inside_the_picture(edges: list[tuple[int, int]]) -> None:
    """Also in cyclic graphs."""
    names = [f"n{number}" for number in range(8)]
    (drawing,) = draw_graph(graph(*names, edges=[(f"n{a}", f"n{b}") for a, b in edges]), [])

    assert {box.node_id for box in drawing.boxes} == set(names)
    for one, other in combinations(drawing.boxes, 2):
        assert abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT
    for box in drawing.boxes:
        assert 0 <= box.x <= drawing.width - BOX_WIDTH
        assert 0 <= box.y <= drawing.height - BOX_HEIGHT


def test_inside_of_an_iteration_is_a_separate_drawing() -> None:
    whole = graph("start", "each", "ask", "check", edges=[("start", "each"), ("ask", "check"), ("each", "ask")])
    for node in whole["nodes"][2:]:
        node["parent"] = "each"

    outer, inner = draw_graph(whole, [("ask", "succeeded"), ("ask", "failed"), ("ask", "running")])

    assert (outer.inside, [box.node_id for box in outer.boxes]) == ("", ["start", "each"])
    assert (inner.inside, [box.node_id for box in inner.boxes]) == ("Each", ["ask", "check"])
    # An edge from outside to inside belongs to neither.
    assert (len(outer.lines), len(inner.lines)) == (1, 1)
    # Of several passes the most important state is shown.
    assert [(box.state, box.passes) for box in inner.boxes] == [("failed", 3), ("", 0)]


@pytest.mark.parametrize(
    "odd",
    [
        None,
        {},
        {"nodes": [], "edges": []},
        {"nodes": [{"type": "no id"}]},
        graph(*(f"n{number}" for number in range(MAX_BOXES + 1)), edges=[]),
    ],
)
def test_invalid_graph_has_no_drawing(odd: dict[str, Any] | None) -> None:
    assert draw_graph(odd, [("a", "running")]) == []


def test_edges_without_a_node_are_omitted() -> None:
    (drawing,) = draw_graph(graph("a", edges=[("a", "gone"), ("gone", "a")]), [])

    assert not drawing.lines


def test_bars_share_one_scale() -> None:
    def at(seconds: float) -> datetime:
        return BEGIN + timedelta(seconds=seconds)

    bars = draw_bars([(at(0), at(5)), (at(5), None), (None, None), (at(10), at(10))], now=at(10))

    assert bars == [NodeBar(0, 500), NodeBar(500, 500), None, NodeBar(TIMELINE_UNITS - 4, 4)]


def test_node_that_has_not_begun_has_no_bar() -> None:
    assert draw_bars([(None, None)], now=BEGIN) == [None]
