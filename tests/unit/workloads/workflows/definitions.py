"""Definitions for tests, in a short notation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

START = {"id": "start", "type": "start"}
END = {"id": "end", "type": "end"}


def node(id_: str, type_: str = "template", **fields: Any) -> dict[str, Any]:
    """Return a node; unknown fields belong to its config."""
    common = ("retry", "on_error") if type_ == "approval" else ("title", "retry", "timeout_seconds", "on_error")
    own = {name: fields.pop(name) for name in common if name in fields}
    if type_ == "template":
        fields.setdefault("template", id_)
    return {"id": id_, "type": type_, **own, **({"config": fields} if fields else {})}


def edges(*ways: str) -> list[dict[str, str]]:
    """Return edges of ``"a > b"``, or ``"a yes> b"`` for the case yes."""
    found = []
    for way in ways:
        names = way.split(" > ") if " > " in way else [way]
        if len(names) > 1:
            found += [{"from": source, "to": target} for source, target in pairwise(names)]
        else:
            source, case, target = way.replace("> ", " ").split()
            found.append({"from": source, "to": target, "case": case})
    return found


def workflow(*nodes: dict[str, Any], ways: list[str] | None = None, inputs: Any = None, outputs: Any = None) -> Any:
    """Return a workflow of these nodes, in sequence without ways."""
    start = {**START, **({"config": {"inputs": inputs}} if inputs else {})}
    end = {**END, **({"config": {"outputs": outputs}} if outputs else {})}
    if ways is None:
        ways = [" > ".join(["start", *(one["id"] for one in nodes), "end"])]
    return {"nodes": [start, *nodes, end], "edges": edges(*ways)}


def graph(*nodes: dict[str, Any], ways: list[str] | None = None) -> dict[str, Any]:
    """Return the graph of an iteration."""
    return {"nodes": list(nodes), "edges": edges(*(ways or []))}


def each(id_: str, items: Any, *nodes: dict[str, Any], output: Any = None, ways: Any = None, **fields: Any) -> Any:
    """Return an iteration over a reference or a list."""
    items = {"ref": items} if isinstance(items, str) else {"value": items}
    inner = graph(*nodes, ways=ways)
    output = output or {"ref": f"nodes.{nodes[-1]['id']}.text"}
    return node(id_, "iteration", items=items, graph=inner, output=output, **fields)


def condition(id_: str, *cases: tuple[str, str, str, Any]) -> dict[str, Any]:
    """Return a condition of cases as (name, reference, operator, value)."""
    return node(
        id_,
        "condition",
        cases=[{"name": name, "all": [{"ref": ref, "op": op, "value": value}]} for name, ref, op, value in cases],
    )
