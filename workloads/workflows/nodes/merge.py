"""Nodes of type `merge`: they take the first of several values that exists, such as that of the branch taken."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from workloads.workflows.engine.variables import VariableMissingError
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode


def prepare(place: NodeContext) -> PreparedNode:
    """Return the first value that exists and is not null; raise `VariableMissingError` if there is none."""
    found = _first(place)
    return PreparedNode(now=lambda: NodeOutput({"value": found}))


def _first(place: NodeContext) -> Any:
    for value in place.config["values"]:
        with suppress(VariableMissingError):
            found = place.reading.evaluate(value)
            if found is not None:
                return found
    raise VariableMissingError("None of its values exists.")
