"""Layout of a run's graph and timeline as shapes.

The code is pure. It draws any graph, even one that could not be run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

# In the units of the picture, which the page scales.
BOX_WIDTH: Final = 168
BOX_HEIGHT: Final = 56
GAP_X: Final = 56
GAP_Y: Final = 22
MARGIN: Final = 10
# A larger graph is not drawn; the page lists the nodes.
MAX_BOXES: Final = 300
TITLE_CHARACTERS: Final = 20
TIMELINE_UNITS: Final = 1_000
# State of a box that stands for several passes: the first of these that any pass has.
_MOST_TELLING: Final = ("failed", "running", "waiting", "paused", "cancelled", "succeeded", "skipped")


@dataclass(frozen=True, slots=True)
class Box:
    """The box of a node in the drawing. ``state`` is empty before the node begins; ``passes`` counts its executions."""

    node_id: str
    title: str
    node_type: str
    x: int
    y: int
    state: str
    passes: int

    @property
    def short_title(self) -> str:
        """Return the title, cut to fit into the box."""
        return self.title if len(self.title) <= TITLE_CHARACTERS else f"{self.title[: TITLE_CHARACTERS - 1]}…"


@dataclass(frozen=True, slots=True)
class EdgePath:
    """The line of an edge, as an SVG path, with the position of its label."""

    path: str
    label: str
    label_x: int
    label_y: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """The drawing of a workflow's graph, or of the graph inside the iteration whose title is ``inside``."""

    inside: str
    boxes: Sequence[Box]
    lines: Sequence[EdgePath]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class NodeBar:
    """A bar of the timeline: its position and width on a scale of ``TIMELINE_UNITS``."""

    left: int
    width: int


def draw_graph(graph: Mapping[str, Any] | None, states: Iterable[tuple[str, str]]) -> list[Drawing]:
    """Return the drawing of a run's graph, and one for each iteration in it.

    ``states`` are pairs of a node's id and a state, one for each time that the node ran; a node in an iteration runs
    once for each item. A graph of more than MAX_BOXES nodes is not drawn.
    """
    nodes = {node["id"]: node for node in (graph or {}).get("nodes", ()) if isinstance(node.get("id"), str)}
    if not nodes or len(nodes) > MAX_BOXES:
        return []
    passes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for node_id, state in states:
        passes[node_id][state] += 1
    edges = [
        edge for edge in (graph or {}).get("edges", ()) if {edge.get("source"), edge.get("target")} <= nodes.keys()
    ]
    levels: defaultdict[str, list[str]] = defaultdict(list)
    for node_id, node in nodes.items():
        parent = node.get("parent")
        levels[parent if parent in nodes else ""].append(node_id)
    return [
        _draw_level(str(nodes[parent].get("title") or parent) if parent else "", ids, nodes, edges, passes)
        for parent, ids in sorted(levels.items(), key=lambda level: level[0] != "")
    ]


def draw_bars(spans: Sequence[tuple[datetime | None, datetime | None]], *, now: datetime) -> list[NodeBar | None]:
    """Return the bar of each span on a scale from the first start to the last end; None for a span without a start.

    A span without an end reaches to ``now``.
    """
    starts = [start for start, _ in spans if start is not None]
    if not starts:
        return [None for _ in spans]
    first = min(starts)
    last = max(first, *((end or now) for start, end in spans if start is not None))
    whole = (last - first).total_seconds() or 1.0
    return [None if start is None else _bar(start, end or now, first, whole) for start, end in spans]


def _bar(start: datetime, end: datetime, first: datetime, whole: float) -> NodeBar:
    left = round((start - first).total_seconds() / whole * TIMELINE_UNITS)
    width = round(max(0.0, (end - start).total_seconds()) / whole * TIMELINE_UNITS)
    # Spans of no duration stay visible.
    width = max(4, width)
    return NodeBar(min(left, TIMELINE_UNITS - width), width)


def _draw_level(
    inside: str,
    ids: Sequence[str],
    nodes: Mapping[str, Mapping[str, Any]],
    edges: Sequence[Mapping[str, Any]],
    passes: Mapping[str, Counter[str]],
) -> Drawing:
    own = [edge for edge in edges if {edge["source"], edge["target"]} <= set(ids)]
    places = _place(ids, [(edge["source"], edge["target"]) for edge in own])
    boxes = [_box(node_id, nodes[node_id], places[node_id], passes.get(node_id, Counter())) for node_id in ids]
    by_id = {box.node_id: box for box in boxes}
    lines = [_line(by_id[edge["source"]], by_id[edge["target"]], str(edge.get("label") or "")) for edge in own]
    width = max(box.x for box in boxes) + BOX_WIDTH + MARGIN
    height = max(box.y for box in boxes) + BOX_HEIGHT + MARGIN
    return Drawing(inside, boxes, lines, width, height)


def _place(ids: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, tuple[int, int]]:
    """Return column and row of each node: in a column after all its predecessors, in the order of the graph."""
    columns = dict.fromkeys(ids, 0)
    # A longest path has fewer edges than there are nodes; a node that still moves after that is in a cycle, and stops
    # there.
    for _ in ids:
        moved = False
        for source, target in edges:
            if source != target and columns[target] <= columns[source] < len(ids):
                columns[target], moved = columns[source] + 1, True
        if not moved:
            break
    rows: Counter[int] = Counter()
    used = {column: place for place, column in enumerate(sorted(set(columns.values())))}
    places = {}
    for node_id in ids:
        column = used[columns[node_id]]
        places[node_id] = (column, rows[column])
        rows[column] += 1
    return places


def _box(node_id: str, node: Mapping[str, Any], place: tuple[int, int], passes: Counter[str]) -> Box:
    column, row = place
    return Box(
        node_id=node_id,
        title=str(node.get("title") or node_id),
        node_type=str(node.get("type") or ""),
        x=MARGIN + column * (BOX_WIDTH + GAP_X),
        y=MARGIN + row * (BOX_HEIGHT + GAP_Y),
        state=next((state for state in _MOST_TELLING if passes[state]), ""),
        passes=passes.total(),
    )


def _line(source: Box, target: Box, label: str) -> EdgePath:
    x1, y1 = source.x + BOX_WIDTH, source.y + BOX_HEIGHT // 2
    x2, y2 = target.x, target.y + BOX_HEIGHT // 2
    bend = max(GAP_X // 2, abs(x2 - x1) // 2)
    path = f"M{x1},{y1} C{x1 + bend},{y1} {x2 - bend},{y2} {x2},{y2}"
    return EdgePath(path, label, (x1 + x2) // 2, (y1 + y2) // 2 - 4)
