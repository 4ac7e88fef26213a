"""The inputs of a run, checked against the declarations of the start node. The code is pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.utils.translation import gettext

from workloads.workflows.definition.graph import Graph

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def read_inputs(graph: Graph, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return the inputs, with defaults for missing ones, and a list of faults, which is empty if they are valid."""
    inputs: dict[str, Any] = {}
    strange = given.keys() - graph.inputs.keys()
    faults = [
        _fault("input_unknown", name, gettext("The workflow has no input %(name)r.") % {"name": name})
        for name in strange
    ]
    for name, declared in graph.inputs.items():
        if name in given:
            inputs[name] = given[name]
            if not _fits(given[name], declared["type"]):
                faults.append(
                    _fault(
                        "input_invalid",
                        name,
                        gettext("%(name)s is not of the type %(type)s.") % {"name": name, "type": declared["type"]},
                    )
                )
        elif "default" in declared:
            inputs[name] = declared["default"]
        elif declared.get("required", True):
            faults.append(_fault("input_missing", name, gettext("%(name)s is missing.") % {"name": name}))
        else:
            inputs[name] = None
    return inputs, sorted(faults, key=lambda fault: fault["field"])


def _fits(value: Any, type_name: str) -> bool:
    if isinstance(value, bool):
        return type_name == "boolean"
    return isinstance(value, _TYPES[type_name])


def _fault(code: str, name: str, detail: str) -> dict[str, str]:
    return {"code": code, "field": f"inputs.{name}", "detail": detail}
