"""Storing runs and nodes in the transaction of the moment, and applying what was queued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from scheduling.processors.workflow_storage.exceptions import RunNotStoredError
from scheduling.processors.workflow_storage.models import PendingWrite, WorkflowRun
from scheduling.processors.workflow_storage.records import NodeRecord, RunRecord
from scheduling.processors.workflow_storage.rows import Row, node_row, run_row
from scheduling.processors.workflow_storage.upserts import upsert_nodes, upsert_runs
from tenants.context import require_tenant_id


@dataclass(frozen=True, slots=True)
class Write:
    """One write as rows: of a run, of some of its nodes, or of both."""

    run_id: UUID
    run: Row | None
    nodes: Sequence[Row]

    @classmethod
    def of_run(cls, run: RunRecord, nodes: Sequence[NodeRecord] = ()) -> Write:
        """A run as it stands, with some of its nodes."""
        if strange := {node.run_id for node in nodes} - {run.run_id}:
            raise ValueError(f"A node is of the run {strange.pop()}, not of {run.run_id}.")
        rows = [node_row(node, tenant_id=run.tenant_id, run_version=run.version) for node in nodes]
        return cls(run.run_id, run_row(run), rows)

    @classmethod
    def of_node(cls, node: NodeRecord) -> Write:
        """A node alone, in the version of its run that is stored; RunNotStoredError where none is."""
        # Shared with nobody who changes the run, so that the node is not ahead of what the run will say.
        run = WorkflowRun.objects.select_for_update(no_key=True).filter(pk=node.run_id).values("version").first()
        if run is None:
            raise RunNotStoredError(f"The run {node.run_id} of the node {node.node_id} is not stored.")
        row = node_row(node, tenant_id=require_tenant_id(), run_version=run["version"])
        return cls(node.run_id, None, [row])


class SynchronousRecords:
    """Stores in the transaction around the call: two statements, however many nodes there are."""

    def save_run(self, run: RunRecord) -> None:
        """Store a run as it stands."""
        apply_writes([Write.of_run(run)])

    def save_node(self, node: NodeRecord) -> None:
        """Store a node as it stands; RunNotStoredError where its run is not stored."""
        apply_writes([Write.of_node(node)])

    def save_many(self, run: RunRecord, nodes: Sequence[NodeRecord]) -> None:
        """Store a run and some of its nodes, together or not at all."""
        apply_writes([Write.of_run(run, nodes)])


def apply_writes(writes: Sequence[Write]) -> None:
    """Store the writes one after the other."""
    for write in writes:
        if write.run is not None:
            upsert_runs([write.run])
        upsert_nodes(write.nodes)


def apply_pending(run_id: UUID) -> int:
    """Apply all writes of a run that wait, in their order, and forget them; how many there were."""
    # Locked, so that two jobs of one run apply each write once and in order; the second finds what came since.
    waiting = list(PendingWrite.objects.select_for_update(no_key=True).filter(run_id=run_id).order_by("id"))
    if waiting:
        apply_writes([Write(run_id, pending.run_row, pending.node_rows) for pending in waiting])
        PendingWrite.objects.filter(pk__in=[pending.pk for pending in waiting]).delete()
    return len(waiting)
