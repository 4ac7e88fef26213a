"""Replays of ended runs: what a new run keeps of an ended one, read at its submission and at its first start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from scheduling.kit.base import AsyncJobContext, PermanentError
from tenants.context import tenant_context
from tenants.exceptions import DomainError
from workloads.files.contents import StoredFileError
from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.replay import find_kept, kept_progress, undoable_nodes
from workloads.workflows.engine.state import Key, WorkflowRunProgress
from workloads.workflows.exceptions import (
    NodeInIterationError,
    NodeUnknownError,
    OutputsGoneError,
    OutputsInvalidError,
    OutputsTooLargeError,
    RunNotEndedError,
    RunNotReplayableError,
    WorkflowVersionNotFoundError,
    WorkUndoneError,
)
from workloads.workflows.inputs import read_inputs
from workloads.workflows.models import RunValue, WorkflowVersion
from workloads.workflows.queries import get_pinned
from workloads.workflows.records.models import NodeRun, WorkflowRun
from workloads.workflows.records.offloading import value_of
from workloads.workflows.records.queries import get_run
from workloads.workflows.records.records import TERMINAL_STATES, RecordState
from workloads.workflows.running.values import Values

# Of all kept outputs together, which the first start of a run holds in memory.
MAX_KEPT_BYTES: Final = 32 * 1024 * 1024

type Outputs = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Replay:
    """An ended run, the version and graph of the run that replays it, and the kept nodes by their ids."""

    run: WorkflowRun
    pinned: WorkflowVersion
    graph: Graph
    kept: Mapping[str, NodeRun]

    @property
    def run_again(self) -> Sequence[str]:
        """Return the ids of the nodes that are run again, unless their branch is not taken."""
        return [node.id for node in self.graph.scopes[None] if node.id not in self.kept]


def read_replay(run_id: UUID, chosen: str, outputs: Outputs, version: int | None = None) -> Replay:
    """Return what a replay of a run of the current scope keeps, from a node and with edited outputs of kept nodes.

    Without ``version`` it has the version of the run. Raise the DomainError that refuses it.
    """
    run = get_run(run_id)
    if run.is_external:
        raise RunNotReplayableError
    if run.shown_state not in TERMINAL_STATES:  # type: ignore[attr-defined]  # an annotation
        raise RunNotEndedError
    former = get_pinned(run.workflow_id, run.workflow_version)
    pinned = former if version is None else get_pinned(run.workflow_id, version)
    if pinned is None or former is None:
        raise WorkflowVersionNotFoundError
    graph = Graph.read(pinned.content)
    if chosen not in graph.nodes:
        raise NodeUnknownError("The workflow has no node %(node)r.", {"node": chosen})
    if graph.nodes[chosen].parent is not None:
        raise NodeInIterationError
    rows = {row.node_id: row for row in NodeRun.objects.filter(run_id=run_id, path=[])}
    states = {name: row.state for name, row in rows.items()}
    kept = {name: rows[name] for name in find_kept(graph, Graph.read(former.content), states, chosen)}
    if run.shown_state != RecordState.SUCCEEDED and (undone := undoable_nodes(graph, list(kept))):  # type: ignore[attr-defined]
        raise WorkUndoneError("The work of %(nodes)s was undone when the run ended.", {"nodes": ", ".join(undone)})
    _check_sizes(kept)
    _check_edits(graph, kept, outputs)
    return Replay(run, pinned, graph, kept)


def read_value(row: WorkflowRun | NodeRun, name: str) -> dict[str, Any]:
    """Return the whole inputs or outputs of a row; raise `OutputsGoneError` if they are not stored."""
    value = value_of(row, name)
    if value is None:
        return {}
    try:
        whole = value.read()
    except StoredFileError as error:
        raise OutputsGoneError from error
    if not isinstance(whole, dict):
        # Only the beginning was stored, because the tenant's storage had no room.
        raise OutputsGoneError
    return whole


def begin_replay(context: AsyncJobContext) -> tuple[WorkflowRunProgress, Sequence[RunValue]] | None:
    """Return the state with which the first start of a replay begins, and its rows of large values.

    Return None for a run that replays no other. Raise `PermanentError` if the ended run cannot be replayed any more.
    """
    asked = context.payload.get("replay")
    if asked is None:
        return None
    edits: Outputs = asked.get("outputs", {})
    try:
        with tenant_context(context.tenant_id):
            replay = read_replay(UUID(asked["run"]), asked["node"], edits, context.payload.get("version"))
        if str(replay.run.workflow_id) != context.payload["workflow_id"]:
            raise RunNotReplayableError
        state = WorkflowRunProgress(replay.pinned.number)
        values = Values(context.tenant_id, context.job_id, state)
        inputs, _ = read_inputs(replay.graph, context.payload.get("inputs", {}))
        for name, row in replay.kept.items():
            is_start = replay.graph.nodes[name].type == "start"
            outputs = inputs if is_start else {**read_value(row, "outputs"), **edits.get(name, {})}
            error = (row.error_code, row.error_message) if row.error_code else None
            state.steps[Key(name)] = kept_progress(replay.graph, name, outputs, values.keep(outputs), error)
    except DomainError as refusal:
        raise PermanentError(str(refusal), code=refusal.code) from refusal
    context.log(f"Replays the run {replay.run.pk} from the node {asked['node']}.", kept=len(replay.kept))
    return state, values.take_new()


def _check_sizes(kept: Mapping[str, NodeRun]) -> None:
    if any(isinstance(row.outputs, str) and row.outputs_key is None for row in kept.values()):
        raise OutputsGoneError
    if (size := sum(row.outputs_bytes for row in kept.values())) > MAX_KEPT_BYTES:
        raise OutputsTooLargeError(
            "The kept outputs have %(size)s bytes; at most %(limit)s are allowed.",
            {"size": f"{size:,}", "limit": f"{MAX_KEPT_BYTES:,}"},
        )


def _check_edits(graph: Graph, kept: Mapping[str, NodeRun], outputs: Outputs) -> None:
    """Raise `OutputsInvalidError` unless each edited output exists and decides no branch."""
    for name, edited in outputs.items():
        node = graph.nodes.get(name)
        if node is None or name not in kept or node.type == "start" or node.kind.cases(node.config):
            raise OutputsInvalidError("The outputs of %(node)r cannot be edited.", {"node": name})
        if strange := sorted(edited.keys() - set(node.kind.outputs or ())):
            raise OutputsInvalidError("%(node)r has no output %(output)r.", {"node": name, "output": strange[0]})
