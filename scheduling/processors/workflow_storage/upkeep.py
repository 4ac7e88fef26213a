"""Upkeep of runs: each is kept as long as its job, so by the tenant's plan, and goes with its nodes and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_noop

from scheduling.processors.files.store import discard_on_commit
from scheduling.services.retention.rules import NO_TENANT, Cutoffs, DueTenant, Kept, first_due, read_cutoffs
from scheduling.services.upkeep.registry import Budget, Step, UpkeepTask
from tenants.context import all_tenants

# A run has many nodes, and those may have files.
RUNS_PER_STEP: Final = 200

# A job goes only when it has ended, so a run whose job is gone has ended, too.
_OLD = """
    FROM workflow_storage_workflowrun r
    WHERE r.tenant_id = {tenant_id} AND r.id < {floor}
        AND NOT EXISTS (SELECT FROM scheduling_job j WHERE j.id = r.job_id AND j.tenant_id = r.tenant_id)
"""
_PRUNE = """
WITH doomed AS (
    SELECT r.id, r.tenant_id {old} ORDER BY r.id LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED
), node AS (
    DELETE FROM workflow_storage_noderun n USING doomed d WHERE n.tenant_id = d.tenant_id AND n.run_id = d.id
    RETURNING n.inputs_key, n.outputs_key
), run AS (
    DELETE FROM workflow_storage_workflowrun r USING doomed d WHERE r.id = d.id
    RETURNING r.inputs_key, r.outputs_key
)
SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM node), (
    SELECT coalesce(array_agg(DISTINCT key), '{{}}') FROM (SELECT * FROM run UNION ALL SELECT * FROM node) AS gone,
        LATERAL (VALUES (gone.inputs_key), (gone.outputs_key)) AS named(key) WHERE key IS NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class PrunedRuns:
    """What one step removed, of the first of the tenants that had something; None: none of them had."""

    tenant_id: UUID | None
    runs: int = 0
    nodes: int = 0
    keys: Sequence[str] = ()


def prune_runs(budget: Budget) -> Step:
    """Runs whose jobs are gone, with their nodes; then the files that nobody else refers to."""
    after = UUID(str(budget.cursor.get("after", NO_TENANT)))
    limit = min(RUNS_PER_STEP, budget.batch_rows)
    with all_tenants():
        cutoffs = _read_cutoffs(after)
        due = first_due(cutoffs, _OLD.format(tenant_id="d.tenant_id", floor="d.floor"), {})
        pruned = PrunedRuns(None) if due is None else _prune(due, limit)
    counts = {"runs": pruned.runs, "nodes": pruned.nodes, "values": len(pruned.keys)}
    if due is not None:
        # Rows that somebody else has locked are left to the next run rather than waited for.
        is_over = pruned.runs < limit
        return Step(counts, has_more=True, cursor={"after": str(due.tenant_id if is_over else after)})
    cursor = {} if cutoffs.is_last_page else {"after": str(cutoffs.last)}
    return Step(counts, has_more=bool(cursor), cursor=cursor)


def _read_cutoffs(after: UUID) -> Cutoffs:
    """Before when there may be runs whose jobs are gone, whichever way those ended."""
    finished, failed = (read_cutoffs(kept, after=after) for kept in (Kept.FINISHED_JOBS, Kept.FAILED_JOBS))
    return Cutoffs(finished.tenant_ids, list(map(max, zip(finished.moments, failed.moments, strict=True))))


def _prune(due: DueTenant, limit: int) -> PrunedRuns:
    old = _OLD.format(tenant_id="%(tenant_id)s", floor="%(floor)s")
    with connection.cursor() as cursor:
        cursor.execute(_PRUNE.format(old=old), {**due.parameters(), "limit": limit})
        runs, nodes, keys = cursor.fetchone()
    discard_on_commit(due.tenant_id, *keys)
    return PrunedRuns(due.tenant_id, runs, nodes, keys)


TASKS = (
    UpkeepTask(
        "workflow_runs",
        gettext_noop("Workflow runs"),
        gettext_noop(
            "Removes runs of workflows whose jobs are gone, with their nodes and the values that were kept as files."
        ),
        timedelta(hours=1),
        prune_runs,
    ),
)
