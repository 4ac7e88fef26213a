"""The state of a run that continues after the finished nodes of an ended one. The code is pure."""

from __future__ import annotations

from dataclasses import replace

from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.state import Key, NodeProgress, Status, WorkflowRunProgress


def keep_finished(ended: WorkflowRunProgress, graph: Graph) -> WorkflowRunProgress | None:
    """Return the state of a new run with the finished nodes and items of an ended one.

    Failed, skipped and waiting nodes are left out, so that they begin again or are skipped again. Return None if the
    new run has to begin at its start: nothing has finished, or a node has begun whose work is undone after a failure.
    """
    if any(graph.nodes[key.node_id].compensate and _has_begun(step) for key, step in ended.steps.items()):
        return None
    kept: dict[Key, NodeProgress] = {}
    for key, step in ended.steps.items():
        if step.status is Status.DONE:
            kept[key] = replace(step)
        elif step.count is not None and (graph.nodes[key.node_id].type == "iteration" or len(step.items) < step.count):
            # An iteration or a loop with its finished items; a loop that was not done in time begins again.
            kept[key] = replace(step, status=Status.RUNNING, error=None, wait=None, due_at=None)
    if not kept:
        return None
    return WorkflowRunProgress(ended.workflow_version, steps=kept, values=ended.values)


def value_numbers(state: WorkflowRunProgress) -> list[int]:
    """Return the numbers of the `RunValue` rows that the nodes of a state refer to."""
    stored = [value for step in state.steps.values() for value in (step.outputs, *step.items.values())]
    return sorted({value for value in stored if isinstance(value, int)})


def _has_begun(step: NodeProgress) -> bool:
    # The end of a run skips what was at work.
    return step.status is not Status.SKIPPED or step.version > 1
