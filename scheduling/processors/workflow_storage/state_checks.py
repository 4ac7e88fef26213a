"""Runs as checks of the state: the jobs they wait for, the nodes they have, the writes that were never applied."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from scheduling.processors.workflow_storage.models import NodeRun, PendingWrite, WorkflowRun
from scheduling.processors.workflow_storage.repository import apply_pending
from scheduling.services.consistency.registry import FaultKind, Look, Piece, RepairOrder, StateCheck
from scheduling.services.consistency.walk import Table
from tenants.context import tenant_context
from tenants.ids import uuid7_floor

NO_JOB = FaultKind("workflow_run_without_job", "An open workflow run of the last day has a job that is not there.")
LEFT_OPEN = FaultKind("workflow_run_left_open", "A workflow run is open, its job has completed, and no write waits.")
NODE_AHEAD = FaultKind("workflow_node_ahead", "A node says a version of its run that the run does not have yet.")
WRITE_STUCK = FaultKind(
    "workflow_write_stuck",
    "A write of a workflow run has waited for an hour, which is beyond all retries of its job.",
    "Applies what waits of the run, in its order.",
)
_RUNS = """
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, job_id FROM workflow_storage_workflowrun
    WHERE <piece> AND state IN ('running', 'waiting')
)
SELECT CASE WHEN j.id IS NULL THEN 'workflow_run_without_job' ELSE 'workflow_run_left_open' END, p.tenant_id, p.id::text
FROM piece p LEFT JOIN scheduling_job j ON j.id = p.job_id AND j.tenant_id = p.tenant_id
WHERE (j.id IS NULL AND p.id > %(yesterday)s OR j.state = 'completed')
    AND NOT EXISTS (SELECT FROM workflow_storage_pendingwrite w WHERE w.tenant_id = p.tenant_id AND w.run_id = p.id)
"""
_NODES = """
WITH piece AS MATERIALIZED (SELECT id, tenant_id, run_id, run_version FROM workflow_storage_noderun WHERE <piece>)
SELECT 'workflow_node_ahead', p.tenant_id, p.id::text FROM piece p
JOIN workflow_storage_workflowrun r ON r.id = p.run_id AND r.tenant_id = p.tenant_id WHERE p.run_version > r.version
"""
_WRITES = """
SELECT DISTINCT 'workflow_write_stuck', tenant_id, run_id::text FROM workflow_storage_pendingwrite
WHERE <piece> AND written_at < now() - interval '1 hour'
"""


def look_at_runs(piece: Piece) -> Look:
    """Open runs whose jobs are gone or done."""
    yesterday = uuid7_floor(timezone.now() - timedelta(days=1))
    return Table(WorkflowRun._meta.db_table).look(_RUNS, piece, parameters={"yesterday": yesterday})


def look_at_nodes(piece: Piece) -> Look:
    """Nodes that are ahead of their runs."""
    return Table(NodeRun._meta.db_table).look(_NODES, piece)


def look_at_writes(piece: Piece) -> Look:
    """Writes that were never applied."""
    return Table(PendingWrite._meta.db_table).look(_WRITES, piece)


def repair_writes(order: RepairOrder) -> None:
    """Apply what waits of each run."""
    assert order.tenant_id is not None  # every write has one
    with tenant_context(order.tenant_id):
        for run_id in order.subjects:
            apply_pending(UUID(run_id))


CHECKS = (
    StateCheck("workflow_runs", (NO_JOB, LEFT_OPEN), look_at_runs),
    StateCheck("workflow_nodes", (NODE_AHEAD,), look_at_nodes),
    StateCheck("workflow_writes", (WRITE_STUCK,), look_at_writes, repair_writes),
)
