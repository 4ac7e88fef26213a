"""Checks of the order of steps in a pipeline's graph. Whichever way an entity takes, it takes each step once, in order.

The definition must have a valid graph: its ids, edges and variables are checked as those of workflows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from itertools import combinations
from typing import Any, Final

from tenants.translation import translate
from workloads.pipelines.node_types import PIPELINE, STEPS
from workloads.workflows.definition.expressions import paths_in
from workloads.workflows.definition.graph_checks import Found
from workloads.workflows.definition.variable_checks import upstream_of

# Nodes of the steps in one graph; the pairs of them are checked.
MAX_STEP_NODES: Final = 30
_SPLIT: Final = STEPS.index("split")
type _Nodes = Mapping[str, tuple[int, Mapping[str, Any]]]


def check_steps(definition: Mapping[str, Any]) -> Iterator[Found]:
    """Yield a fault, as (code, pointer, detail), for each node by which an entity could miss or repeat a step."""
    nodes = {node["id"]: (number, node) for number, node in enumerate(definition["nodes"])}
    steps = {name: STEPS.index(node["type"]) for name, (_, node) in nodes.items() if node["type"] in STEPS}
    if len(steps) > MAX_STEP_NODES:
        yield "too_many_steps", "/nodes", translate("At most %(limit)s nodes may be steps.", {"limit": MAX_STEP_NODES})
        return
    yield from _check_members(nodes, steps)
    before = upstream_of(definition)
    yield from _check_missing(definition, nodes, steps, before)
    yield from _check_pairs(definition, nodes, steps, before)
    yield from _check_texts(nodes, steps, before)


def _check_members(nodes: _Nodes, steps: Mapping[str, int]) -> Iterator[Found]:
    loads = [name for name, step in steps.items() if STEPS[step] == PIPELINE.last]
    for name in loads[1:]:
        detail = translate("There must be only one node of the type %(type)s.", {"type": PIPELINE.last})
        yield f"several_{PIPELINE.last}s", f"/nodes/{nodes[name][0]}", detail
    for name in steps:
        number, node = nodes[name]
        for member in ("on_error", "timeout_seconds"):
            if member in node:
                detail = translate("A node of the type %(type)s has no %(member)s.", {**node, "member": member})
                yield "unknown_field", f"/nodes/{number}/{member}", detail


def _check_missing(
    definition: Mapping[str, Any], nodes: _Nodes, steps: Mapping[str, int], before: Mapping[str, frozenset[str]]
) -> Iterator[Found]:
    """Yield nodes that an entity could reach without the step before, and those after which it is not loaded."""
    edges = definition.get("edges", ())
    for name, step in steps.items():
        number, _ = nodes[name]
        earlier = {other for other, rank in steps.items() if rank == step - 1} & before[name]
        if step and _is_reached(name, edges, _leading_to(earlier, edges)):
            values = {"node": name, "step": STEPS[step - 1]}
            detail = translate("An entity could reach %(node)r without a node of the type %(step)s before.", values)
            yield "step_missing", f"/nodes/{number}", detail
        leads = any(edge["from"] == name and nodes[edge["to"]][1]["type"] == PIPELINE.last for edge in edges)
        if STEPS[step] == "embed" and not leads:
            detail = translate("An edge must lead from %(node)r to %(type)s.", {"node": name, "type": PIPELINE.last})
            yield "edge_missing", f"/nodes/{number}", detail


def _leading_to(names: set[str], edges: Any) -> set[str]:
    """Return the nodes after which one of these always follows: no condition lies between."""
    found, pending = set(names), list(names)
    while pending:
        last = pending.pop()
        new = {edge["from"] for edge in edges if edge["to"] == last and "case" not in edge} - found
        found |= new
        pending.extend(new)
    return found


def _is_reached(name: str, edges: Any, closed: set[str]) -> bool:
    """Return whether a path leads to a node from a first one without any of the closed nodes."""
    pending, seen = [name], {name}
    while pending:
        sources = [edge["from"] for edge in edges if edge["to"] == pending[-1]]
        if not sources:
            return True
        pending.pop()
        new = set(sources) - seen - closed
        seen |= new
        pending.extend(new)
    return False


def _check_pairs(
    definition: Mapping[str, Any], nodes: _Nodes, steps: Mapping[str, int], before: Mapping[str, frozenset[str]]
) -> Iterator[Found]:
    """Yield the second of two steps that one entity could take in the wrong order, or twice."""
    choosers = [name for name, (_, node) in nodes.items() if node["type"] == "condition"]
    cases = [_cases_before(definition, before, chooser) for chooser in choosers]
    for one, other in combinations(steps, 2):
        first, second = (other, one) if other in before[one] else (one, other)
        is_ordered = first in before[second] and steps[first] < steps[second]
        if is_ordered or any(_are_exclusive(found[one], found[other]) for found in cases):
            continue
        values = {"first": first, "second": second, "order": " → ".join(STEPS)}
        detail = translate("An entity could pass both %(first)r and %(second)r; the order is %(order)s.", values)
        yield "step_order", f"/nodes/{nodes[second][0]}", detail


def _cases_before(
    definition: Mapping[str, Any], before: Mapping[str, frozenset[str]], chooser: str
) -> dict[str, frozenset[str | None]]:
    """Return for each node the cases of a condition by which paths lead to it; None for a path without it."""
    found: dict[str, frozenset[str | None]] = {}
    for name in TopologicalSorter(before).static_order():
        edges = [edge for edge in definition.get("edges", ()) if edge["to"] == name]
        ways = [frozenset({edge["case"]}) if edge["from"] == chooser else found[edge["from"]] for edge in edges]
        found[name] = frozenset[str | None]().union(*ways) if ways else frozenset({None})
    return found


def _are_exclusive(cases: frozenset[str | None], others: frozenset[str | None]) -> bool:
    return None not in cases | others and cases.isdisjoint(others)


def _check_texts(nodes: _Nodes, steps: Mapping[str, int], before: Mapping[str, frozenset[str]]) -> Iterator[Found]:
    """Yield reads of a text after the entity was split, which is when its text is dropped."""
    splits = {name for name, step in steps.items() if step == _SPLIT}
    texts = {name for name, step in steps.items() if STEPS[step] == "clean"}
    for name, (number, node) in nodes.items():
        if not splits & before[name]:
            continue
        for expression in PIPELINE.types[node["type"]].expressions(node.get("config", {})):
            if any(path[0] == "nodes" and path[1] in texts for path in paths_in(expression)):
                detail = translate("The text is dropped when it is split; read it in a node before.")
                yield "text_dropped", f"/nodes/{number}/config{expression.pointer}", detail
