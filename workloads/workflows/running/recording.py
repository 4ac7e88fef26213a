"""The records that the pages of a run show: of the run, and of its changed nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.state import Key, NodeProgress, Status, Stored, WorkflowRunProgress
from workloads.workflows.records.records import NodeRecord, RecordState, RunRecord
from workloads.workflows.running.repository import Pinned

_STATES: Mapping[Status, RecordState] = {
    Status.RUNNING: RecordState.RUNNING,
    Status.WAITING: RecordState.WAITING,
    Status.DONE: RecordState.SUCCEEDED,
    Status.FAILED: RecordState.FAILED,
    Status.SKIPPED: RecordState.SKIPPED,
}


@dataclass(slots=True)
class Recording:
    """Builder of the records of one run from its state."""

    tenant_id: UUID
    run_id: UUID
    pinned: Pinned
    graph: Graph
    state: WorkflowRunProgress
    load: Callable[[Stored], Any]
    # Inputs of the nodes begun since the last safe point.
    inputs: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    tokens: dict[Key, int] = field(default_factory=dict)

    def run(
        self,
        state: RecordState,
        *,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        ended_at: float | None = None,
    ) -> RunRecord:
        """Return the record of the run as it is now. The version of the run's record is incremented."""
        self.state.version += 1
        code, message = self.state.error or ("", "")
        return RunRecord(
            run_id=self.run_id,
            tenant_id=self.tenant_id,
            workflow_id=self.pinned.workflow_id,
            workflow_version=self.pinned.number,
            workflow_name=self.pinned.workflow_name,
            job_id=self.run_id,
            version=self.state.version,
            state=state,
            inputs=inputs,
            outputs=outputs,
            error_code=code,
            error_message=message,
            started_at=_moment(self.state.started_at),
            ended_at=_moment(ended_at),
            total_tokens=self.state.tokens,
            total_cost=self.state.cost,
            total_steps=self.state.step_count,
            graph=self.graph.describe() if inputs is not None else None,
        )

    def nodes(self, changes: Mapping[Key, NodeProgress], now: float) -> Sequence[NodeRecord]:
        """Return the records of the changed nodes as they are now."""
        records = [self._node(key, step, now) for key, step in changes.items()]
        self.inputs.clear()
        self.tokens.clear()
        return records

    def _node(self, key: Key, step: NodeProgress, now: float) -> NodeRecord:
        code, message = step.error or ("", "")
        outputs = self.load(step.outputs) if step.status is Status.DONE else None
        return NodeRecord(
            run_id=self.run_id,
            node_id=key.node_id,
            path=key.path,
            version=step.version,
            node_type=self.graph.nodes[key.node_id].type,
            state=_state_of(step),
            attempt=step.attempt,
            inputs=self.inputs.get(key),
            outputs=outputs,
            error_code=code,
            error_message=message,
            # The first value is kept.
            started_at=_moment(now) if step.status is not Status.SKIPPED else None,
            ended_at=_moment(now) if step.status.is_ended else None,
            tokens=self.tokens.get(key, 0),
        )


def _state_of(step: NodeProgress) -> RecordState:
    # A node that had begun was not skipped: its run or item ended.
    if step.status is Status.SKIPPED and step.version > 1:
        return RecordState.CANCELLED
    return _STATES[step.status]


def _moment(seconds: float | None) -> datetime | None:
    return None if not seconds else datetime.fromtimestamp(seconds, UTC)
