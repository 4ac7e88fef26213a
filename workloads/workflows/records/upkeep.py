"""Upkeep of workflow runs: a run is deleted, with its nodes and files, after its job has been deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.utils.translation import gettext_noop
from psycopg.rows import class_row

from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep, UpkeepTask
from scheduling.upkeep.retention.rules import NO_TENANT, Cutoffs, DueTenant, RetentionClass, first_due, read_cutoffs
from tenants.context import all_tenants
from tenants.database.prepared import fetch_one
from tenants.database.sql import load_sql
from workloads.files.store import discard_on_commit

# A run has many nodes, which may have files.
RUNS_PER_STEP: Final = 200

_SQL = load_sql(__file__)
_FIND, _PRUNE = _SQL["find_old_runs"], _SQL["prune_runs"]


@dataclass(frozen=True, slots=True)
class PrunedRuns:
    """The rows that one step removed, all of one tenant; `tenant_id` is None if there were none to remove."""

    tenant_id: UUID | None
    runs: int = 0
    nodes: int = 0
    keys: Sequence[str] = ()


def prune_runs(budget: UpkeepBudget) -> UpkeepStep:
    """Delete runs whose jobs were deleted, with their nodes, and then their files that nothing else refers to."""
    after = UUID(str(budget.cursor.get("after", NO_TENANT)))
    limit = min(RUNS_PER_STEP, budget.batch_rows)
    with all_tenants():
        cutoffs = _read_cutoffs(after)
        due = first_due(cutoffs, _FIND, {})
        pruned = PrunedRuns(None) if due is None else _prune(due, limit)
    counts = {"runs": pruned.runs, "nodes": pruned.nodes, "values": len(pruned.keys)}
    if due is not None:
        # Rows that are locked are left to the next run.
        is_over = pruned.runs < limit
        return UpkeepStep(counts, has_more=True, cursor={"after": str(due.tenant_id if is_over else after)})
    cursor = {} if cutoffs.is_last_page else {"after": str(cutoffs.last)}
    return UpkeepStep(counts, has_more=bool(cursor), cursor=cursor)


def _read_cutoffs(after: UUID) -> Cutoffs:
    """Return the times before which runs may have lost their jobs, whichever way those ended."""
    finished, failed = (
        read_cutoffs(kept, after=after) for kept in (RetentionClass.FINISHED_JOBS, RetentionClass.FAILED_JOBS)
    )
    return Cutoffs(finished.tenant_ids, list(map(max, zip(finished.moments, failed.moments, strict=True))))


def _prune(due: DueTenant, limit: int) -> PrunedRuns:
    pruned: PrunedRuns = fetch_one(_PRUNE, {**due.parameters(), "limit": limit}, class_row(PrunedRuns), is_planned=True)
    discard_on_commit(due.tenant_id, *pruned.keys)
    return pruned


TASKS = (
    UpkeepTask(
        "workflow_runs",
        gettext_noop("Workflow runs"),
        gettext_noop("Deletes workflow runs whose jobs were deleted, with their nodes and stored values."),
        timedelta(hours=1),
        prune_runs,
    ),
)
