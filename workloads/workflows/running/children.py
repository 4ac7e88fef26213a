"""Child jobs of a run: their requests, and their results as results of the nodes that wait for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from scheduling.kit.base import ChildJob
from workloads.job_outcome import DEAD_STATES
from workloads.workflows.engine.planner import Planner
from workloads.workflows.engine.state import Key, NodeError, WaitCause
from workloads.workflows.running import repository
from workloads.workflows.running.values import Values

COMPLETED = "completed"


def have_ended(children: Sequence[ChildJob]) -> bool:
    """Return whether all children have ended; if not, a person has resumed the run too early."""
    return all(child.state in (COMPLETED, *DEAD_STATES) for child in children)


def apply_children(
    planner: Planner, values: Values, children: Sequence[ChildJob], *, tenant_id: UUID, now: float
) -> None:
    """Let each node continue, or fail, whose child job has ended; the run waits for none of them any more."""
    awaited, planner.state.children = planner.state.children, []
    found: list[ChildJob | None] = [*children] if len(children) == len(awaited) else [None] * len(awaited)
    for key, child in zip(awaited, found, strict=True):
        step = planner.state.steps.get(key)
        if step is None or step.wait is not WaitCause.CHILD:
            continue
        if child is None:
            planner.fail(key, NodeError("child_gone", "Its job was deleted before its result was read."), now)
        elif child.state == COMPLETED:
            planner.succeed(key, values.keep(_outputs_of(planner, key, child, tenant_id)))
        else:
            message = child.error_message or f"The job {child.job_id} is {child.state}."
            planner.fail(key, NodeError(child.error_type or f"job_{child.state}", message), now)


def _outputs_of(planner: Planner, key: Key, child: ChildJob, tenant_id: UUID) -> dict[str, Any]:
    outputs: dict[str, Any] = {"job": str(child.job_id), "state": child.state}
    result = dict(child.result or {})
    if planner.graph.nodes[key.node_id].type == "job":
        return outputs | {"result": result}
    is_cut = "is_cut" in result
    return outputs | {"outputs": repository.read_outputs(tenant_id, child.job_id) if is_cut else result["outputs"]}
