"""Nodes of the types `job` and `sub_workflow`: they submit a child job of the run and wait for its end.

The run gives its slot back meanwhile. The child is submitted in the transaction that lets the run wait, from the stored
outputs of other nodes; so its request is made again, and is the same, if the worker dies before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from scheduling.kit.base import Child, PermanentError
from tenants.context import tenant_context
from tenants.secrets.references import has_references
from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.state import WaitCause
from workloads.workflows.inputs import read_inputs
from workloads.workflows.nodes.work import NodeContext, PreparedNode, WaitRequest
from workloads.workflows.queries import find_called

KIND: Final = "workflow_execution"
# How deep runs of workflows may be nested.
MAX_CALLS: Final = 5


def prepare(place: NodeContext) -> PreparedNode:
    """Return the wait for the child; raise the errors of its submission, as far as they are known now."""
    child = child_of(place)
    place.job.blocking.check_child(child.kind, child.payload)
    inputs = {"kind": child.kind, "payload": child.payload}
    return PreparedNode(inputs=inputs, now=lambda: WaitRequest(WaitCause.CHILD))


def child_of(place: NodeContext) -> Child:
    """Return the request of a node's child job; raise `PermanentError` if it may not be submitted."""
    given = place.config.get("inputs" if place.node.type == "sub_workflow" else "payload", {})
    values = {name: place.reading.evaluate(value) for name, value in given.items()}
    if has_references(values):
        # What a model or a server has returned may not choose a secret.
        raise PermanentError("The values of a child job may not refer to secrets.", code="secret_refused")
    if place.node.type == "sub_workflow":
        return Child(KIND, _call(place, values))
    return Child(place.config["kind"], values)


def _call(place: NodeContext, inputs: Mapping[str, Any]) -> dict[str, Any]:
    depth = place.job.payload.get("depth", 0) + 1
    if depth > MAX_CALLS:
        raise PermanentError(f"Workflows call each other more than {MAX_CALLS} deep.", code="too_nested")
    with tenant_context(place.job.tenant_id):
        called = find_called(place.config["workflow"])
    if called is None:
        raise PermanentError(f"There is no workflow {place.config['workflow']!r}.", code="workflow_not_found")
    _, faults = read_inputs(Graph.read(called.content), inputs)
    if faults:
        raise PermanentError(" ".join(fault["detail"] for fault in faults), code="inputs_invalid")
    called_id: UUID = called.workflow_id
    return {"workflow_id": str(called_id), "version": called.number, "inputs": dict(inputs), "depth": depth}
