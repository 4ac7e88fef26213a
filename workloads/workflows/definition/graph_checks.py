"""Checks of a definition's graph: its ids, ends, edges and cycles. The definition must match the JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

from tenants.translation import translate
from workloads.workflows.definition.node_parts import ELSE, NodeType
from workloads.workflows.definition.node_types import GRAPH_TYPES, Vocabulary

# Code, pointer, detail.
type Found = tuple[str, str, str]


def check_graphs(definition: Mapping[str, Any], vocabulary: Vocabulary) -> Iterator[Found]:
    """Yield the faults in a definition's graph and in the graphs of its nodes, as (code, pointer, detail)."""
    seen: dict[str, str] = {}
    for graph, pointer in placed_graphs(definition):
        faults = list(_check_ids(graph, pointer, seen))
        yield from _check_ends(graph, pointer, vocabulary)
        # With a duplicate id, an edge is ambiguous.
        faults = faults or list(_check_edges(graph, pointer, vocabulary))
        yield from faults
        if not faults:
            yield from _check_circles(graph, pointer)
            yield from _check_reachable(graph, pointer, vocabulary.first)


def check_kinds(definition: Mapping[str, Any], is_submittable: Callable[[str], bool]) -> Iterator[Found]:
    """Yield a fault for each node of a valid definition that is done or undone by jobs of an unknown kind."""
    for graph, pointer in placed_graphs(definition):
        for number, node in enumerate(graph["nodes"]):
            asked = {"compensate": node.get("compensate", {})}
            if node["type"] == "job":
                asked["config"] = node["config"]
            for part, content in asked.items():
                place, kind = f"{pointer}/nodes/{number}/{part}/kind", content.get("kind")
                if part == "config" and kind == "workflow_execution":
                    yield (
                        "unknown_kind",
                        place,
                        translate("Runs of workflows are started by nodes of the type sub_workflow."),
                    )
                elif kind is not None and not is_submittable(kind):
                    yield "unknown_kind", place, translate("There is no job kind %(kind)r.", {"kind": kind})


def depth_of(definition: Mapping[str, Any]) -> int:
    """Return how deep the iterations and loops of a valid definition are nested; 0 if there is none."""
    inner = (node["config"]["graph"] for node in definition["nodes"] if node["type"] in GRAPH_TYPES)
    return max((1 + depth_of(graph) for graph in inner), default=0)


def placed_graphs(definition: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield each graph with its position, those of iterations and loops after the one around them."""
    pending: list[tuple[Mapping[str, Any], str]] = [(definition, "")]
    for graph, pointer in pending:
        yield graph, pointer
        pending.extend(
            (node["config"]["graph"], f"{pointer}/nodes/{number}/config/graph")
            for number, node in enumerate(graph["nodes"])
            if node["type"] in GRAPH_TYPES
        )


def _check_ids(graph: Mapping[str, Any], pointer: str, seen: dict[str, str]) -> Iterator[Found]:
    for number, node in enumerate(graph["nodes"]):
        place = f"{pointer}/nodes/{number}/id"
        if node["id"] in seen:
            yield (
                "duplicate_node",
                place,
                translate(
                    "The node %(node)r already exists, at %(place)s.", {"node": node["id"], "place": seen[node["id"]]}
                ),
            )
        seen.setdefault(node["id"], place)


def _check_ends(graph: Mapping[str, Any], pointer: str, vocabulary: Vocabulary) -> Iterator[Found]:
    first, last = vocabulary.first, vocabulary.last
    found: dict[str, list[int]] = {first: [], last: []}
    for number, node in enumerate(graph["nodes"]):
        if node["type"] in found:
            found[node["type"]].append(number)
    if pointer:
        for number in found[first] + found[last]:
            yield (
                "misplaced_node",
                f"{pointer}/nodes/{number}",
                translate("The graph of an iteration or a loop must have neither start nor end."),
            )
        return
    for name in (first, last):
        if not found[name]:
            yield f"{name}_missing", "/nodes", translate("There must be a node of the type %(type)s.", {"type": name})
    for number in found[first][1:]:
        detail = translate("There must be only one node of the type %(type)s.", {"type": first})
        yield f"several_{first}s", f"/nodes/{number}", detail


def _check_edges(graph: Mapping[str, Any], pointer: str, vocabulary: Vocabulary) -> Iterator[Found]:
    nodes = {node["id"]: node for node in graph["nodes"]}
    seen: set[tuple[str, str, str | None]] = set()
    for number, edge in enumerate(graph.get("edges", ())):
        place = f"{pointer}/edges/{number}"
        strange = [end for end in ("from", "to") if edge[end] not in nodes]
        for end in strange:
            yield (
                "unknown_node",
                f"{place}/{end}",
                translate("There is no node %(node)r in this graph.", {"node": edge[end]}),
            )
        if strange:
            continue
        way = (edge["from"], edge["to"], edge.get("case"))
        if way in seen:
            yield "duplicate_edge", place, translate("The edge already exists.")
        seen.add(way)
        source, first, last = nodes[edge["from"]], vocabulary.first, vocabulary.last
        if nodes[edge["to"]]["type"] == first:
            yield f"edge_into_{first}", place, translate("No edge may lead into %(type)s.", {"type": first})
        if source["type"] == last:
            yield f"edge_from_{last}", place, translate("No edge may lead out of %(type)s.", {"type": last})
        yield from _check_case(source, vocabulary.types[source["type"]], edge, place)
    yield from _check_choices(graph, pointer)


def _check_case(source: Mapping[str, Any], kind: NodeType, edge: Mapping[str, Any], place: str) -> Iterator[Found]:
    cases = kind.cases(source.get("config", {}))
    if "case" in edge and edge["case"] not in cases:
        known = translate("; its cases are %(cases)s", {"cases": ", ".join(cases)}) if cases else ""
        yield (
            "unknown_case",
            f"{place}/case",
            translate(
                "%(source)r has no case %(case)r%(known)s.",
                {"source": source["id"], "case": edge["case"], "known": known},
            ),
        )
    if "case" not in edge and kind.must_choose:
        yield (
            "case_missing",
            place,
            translate(
                "An edge from %(source)r must name its case: %(cases)s.",
                {"source": source["id"], "cases": ", ".join(cases)},
            ),
        )


def _check_choices(graph: Mapping[str, Any], pointer: str) -> Iterator[Found]:
    """Yield cases of a condition with a duplicate name or the name of the default case."""
    for number, node in enumerate(graph["nodes"]):
        if node["type"] != "condition":
            continue
        names = [case["name"] for case in node["config"]["cases"]]
        for place, name in enumerate(names):
            if name in names[:place] or name == ELSE:
                where = f"{pointer}/nodes/{number}/config/cases/{place}/name"
                yield "duplicate_case", where, translate("The case %(name)r already exists.", {"name": name})


def _check_circles(graph: Mapping[str, Any], pointer: str) -> Iterator[Found]:
    before: dict[str, list[str]] = {node["id"]: [] for node in graph["nodes"]}
    for edge in graph.get("edges", ()):
        before[edge["to"]].append(edge["from"])
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        circle: Sequence[str] = error.args[1]
        # The first node is repeated at the end.
        ways = set(pairwise(circle))
        last = max(n for n, edge in enumerate(graph["edges"]) if (edge["from"], edge["to"]) in ways)
        yield (
            "cycle",
            f"{pointer}/edges/{last}",
            translate("The nodes form a cycle: %(circle)s.", {"circle": " → ".join(circle)}),
        )


def _check_reachable(graph: Mapping[str, Any], pointer: str, first: str) -> Iterator[Found]:
    """Yield nodes that cannot be reached from the first node.

    In an iteration or a loop, nodes without incoming edges start by themselves.
    """
    if pointer:
        return
    after: dict[str, list[str]] = {node["id"]: [] for node in graph["nodes"]}
    for edge in graph.get("edges", ()):
        after[edge["from"]].append(edge["to"])
    pending = [node["id"] for node in graph["nodes"] if node["type"] == first][:1]
    reached = set(pending)
    while pending:
        new = set(after[pending.pop()]) - reached
        reached |= new
        pending.extend(new)
    if not reached:
        return
    for number, node in enumerate(graph["nodes"]):
        if node["id"] not in reached and node["type"] != first:
            yield (
                "unreachable_node",
                f"{pointer}/nodes/{number}",
                translate("No path leads from %(first)s to %(node)r.", {"first": first, "node": node["id"]}),
            )
