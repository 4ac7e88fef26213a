"""The record of a job in the tables of workflow runs: its graph, and for each node what the entities have done there.

The counts come from the rows of the entities, so that each is counted once whatever interrupts the run.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Self
from uuid import UUID

from scheduling.kit.base import Json
from workloads.model_endpoints.usage import AnsweredRequest, total_cost
from workloads.pipelines.models import PipelineVersion
from workloads.pipelines.node_types import PIPELINE
from workloads.pipelines.repository import NodeCounts, RunPlan, count_nodes
from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.state import FIRST_RECORD
from workloads.workflows.records.records import NodeRecord, RecordState, RunRecord
from workloads.workflows.records.repository import save_records

# Between two records of an open run.
RECORD_SECONDS: Final = 2.0


def save_first_record(version: PipelineVersion, job_id: UUID, inputs: Mapping[str, Any]) -> None:
    """Store the record of a job that waits for its first start, so that its page exists at once."""
    graph = Graph.read(version.definition, PIPELINE.types).describe()
    head = _head_of(version, job_id)
    save_records(RunRecord(**head, version=FIRST_RECORD, state=RecordState.WAITING, inputs=inputs, graph=graph))


@dataclass(slots=True)
class RunRecording:
    """The record of one job. Its version and the tokens are in the job's checkpoint."""

    plan: RunPlan
    is_new: bool
    version: int = FIRST_RECORD
    tokens: int = 0
    cost: Decimal | None = None
    started_at: dict[str, datetime] = field(default_factory=dict)
    ended_at: dict[str, datetime] = field(default_factory=dict)
    saved_at: float = float("-inf")

    @classmethod
    def read(cls, plan: RunPlan, state: Json) -> Self:
        """Return the record as a job's last checkpoint left it."""
        cost = Decimal(state["cost"]) if state.get("cost") else None
        return cls(plan, not state, state.get("version", FIRST_RECORD), state.get("tokens", 0), cost)

    def state(self) -> dict[str, Any]:
        """Return what the job's checkpoint keeps."""
        cost = None if self.cost is None else str(self.cost)
        return {"version": self.version, "tokens": self.tokens, "cost": cost}

    def take_times(self, seconds: Iterable[Mapping[str, float]]) -> None:
        """Take in the times of nodes that have just ended."""
        now = datetime.now(UTC)
        for part in seconds:
            for name, spent in part.items():
                self.started_at.setdefault(name, now - timedelta(seconds=spent))
                self.ended_at[name] = now

    def take_usage(self, usage: Sequence[AnsweredRequest]) -> None:
        """Take in the requests that models have answered."""
        self.tokens += sum(one.prompt_tokens + one.completion_tokens for one in usage)
        if (cost := total_cost(usage)) is not None:
            self.cost = (self.cost or Decimal()) + cost

    def begin_record(self, *, is_last: bool = False) -> bool:
        """Return whether a record is due. Its version is in the next checkpoint, in whose transaction `save` runs."""
        now = time.monotonic()
        if not is_last and now - self.saved_at < RECORD_SECONDS:
            return False
        self.saved_at, self.version = now, self.version + 1
        return True

    def save(self, result: Mapping[str, Any] | None = None) -> None:
        """Store the record in the current transaction; ``result`` is that of the job if it has ended."""
        counts, graph = count_nodes(self.plan), self.plan.graph
        state, error = RecordState.RUNNING, ""
        if result is not None:
            state = RecordState.SUCCEEDED if result["entities"].keys() - {"error"} else RecordState.FAILED
            error = "entities_failed" if state is RecordState.FAILED else ""
        run = RunRecord(
            **_head_of(self.plan.version, self.plan.job_id),
            version=self.version,
            state=state,
            inputs=inputs_of(self.plan.run_id, self.plan.entity_id, self.plan.entities_total) if self.is_new else None,
            graph=graph.describe() if self.is_new else None,
            outputs=result,
            error_code=error,
            error_message="No entity was completed." if error else "",
            started_at=min(self.started_at.values(), default=datetime.now(UTC)),
            ended_at=None if result is None else datetime.now(UTC),
            total_tokens=self.tokens,
            total_cost=self.cost,
            total_steps=sum(one.begun for one in counts.values()),
        )
        save_records(run, list(self._nodes(counts, is_ended=result is not None)))
        self.is_new = False

    def _nodes(self, counts: Mapping[str, NodeCounts], *, is_ended: bool) -> Iterator[NodeRecord]:
        for name, node in self.plan.graph.nodes.items():
            found = counts.get(name)
            if found is None or (not found.begun and not is_ended):
                continue
            errors = found.first_errors or []
            yield NodeRecord(
                run_id=self.plan.job_id,
                node_id=name,
                version=self.version,
                node_type=node.type,
                state=_state_of(found) if is_ended else RecordState.RUNNING,
                inputs={"entities": found.begun},
                outputs={
                    "entities": found.done,
                    "failed": found.failed,
                    "skipped": found.skipped,
                    "seconds": round(found.seconds, 3),
                    "mean_seconds": round(found.seconds / max(found.begun, 1), 4),
                    "first_errors": errors,
                },
                error_code=errors[0].rpartition(": ")[2] if found.failed else "",
                error_message="; ".join(errors) if found.failed else "",
                started_at=self.started_at.get(name),
                ended_at=self.ended_at.get(name, datetime.now(UTC)) if is_ended and found.begun else None,
            )


def inputs_of(run_id: UUID, entity_id: UUID | None, entities: int) -> dict[str, Any]:
    """Return the inputs that the record of a job shows."""
    one = {"entity": str(entity_id)} if entity_id else {"entities": entities}
    return {"pipeline_run": str(run_id), **one}


def _state_of(counts: NodeCounts) -> RecordState:
    if counts.failed:
        return RecordState.FAILED
    return RecordState.SUCCEEDED if counts.begun else RecordState.SKIPPED


def _head_of(version: PipelineVersion, job_id: UUID) -> dict[str, Any]:
    """Return the fields of a record that do not change. The record of a job has the job's id."""
    return {
        "run_id": job_id,
        "tenant_id": version.tenant_id,
        "workflow_id": version.pipeline_id,
        "workflow_version": version.number,
        "workflow_name": version.pipeline.name,
        "job_id": job_id,
    }
