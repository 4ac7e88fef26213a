"""Pruning of ended jobs with log and output, after they are archived, and of batches without jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection
from psycopg.rows import scalar_row

from scheduling.archive.service import begin_object, write_object
from scheduling.jobs.history import OUTPUT_EVENT
from scheduling.jobs.lifecycle import DEAD_STATES, TERMINAL_STATES, JobState
from scheduling.upkeep.retention.rules import Cutoffs, DueTenant, first_due, record_pruning
from tenants.context import all_tenants
from tenants.database.prepared import execute, fetch_all, fetch_one
from tenants.database.sql import load_sql
from tenants.holds.service import list_held

FINISHED_STATES = tuple(sorted(TERMINAL_STATES - DEAD_STATES))
_DEAD = tuple(sorted(DEAD_STATES))

_SQL = load_sql(__file__)
_PRUNE_LOGS, _PRUNE_OUTPUT = _SQL["prune_logs"], _SQL["prune_output"]


@dataclass(frozen=True, slots=True)
class PrunedJobs:
    """Numbers of rows deleted for one tenant; ``tenant_id`` is None if no tenant had old jobs."""

    tenant_id: UUID | None
    jobs: int
    letters: int
    log_lines: int
    archived: int = 0


def prune_finished_jobs(cutoffs: Cutoffs, *, limit: int) -> PrunedJobs:
    """Delete at most ``limit`` of the oldest completed and cancelled jobs of one tenant.

    It is the first of these tenants that has any.
    """
    return _prune("finished", FINISHED_STATES, cutoffs, limit)


def prune_failed_jobs(cutoffs: Cutoffs, *, limit: int) -> PrunedJobs:
    """Delete at most ``limit`` of the oldest discarded and quarantined jobs of one tenant, with their dead letters.

    It is the first of these tenants that has any.
    """
    return _prune("failed", _DEAD, cutoffs, limit)


def prune_batches(cutoffs: Cutoffs, *, limit: int) -> int:
    """Delete at most ``limit`` old batches that have no jobs any more; return how many were deleted."""
    with all_tenants():
        values = {**cutoffs.without(list_held()).parameters(), "limit": limit}
        gone = fetch_all(_SQL["prune_batches"], values, is_planned=True)
        for row in gone:
            record_pruning("finished_jobs", {"scheduling_batch": row.rows}, tenant_id=row.tenant_id)
        return sum(row.rows for row in gone)


def count_prunable(cutoffs: Cutoffs) -> tuple[int, int]:
    """Return how many finished and how many failed jobs are old enough to prune. It scans these jobs, for a dry run."""
    counts = []
    with all_tenants(), connection.cursor() as cursor:
        cutoffs = cutoffs.without(list_held())
        for name, states in (("count_finished", FINISHED_STATES), ("count_failed", _DEAD)):
            cursor.execute(_SQL[name], {**cutoffs.parameters(), "states": list(states)})
            counts.append(int(cursor.fetchone()[0]))
    return counts[0], counts[1]


def _prune(ended: str, states: Sequence[JobState], cutoffs: Cutoffs, limit: int) -> PrunedJobs:
    parameters: dict[str, Any] = {"states": list(states), "limit": limit}
    with all_tenants():
        due = first_due(cutoffs, _SQL[f"find_{ended}"], parameters)
        if due is None:
            return PrunedJobs(None, 0, 0, 0)
        entry = begin_object(due.tenant_id)
    with all_tenants():
        job_ids = []
        if due.tenant_id not in list_held():
            values = {**parameters, **due.parameters()}
            job_ids = fetch_all(_SQL[f"choose_{ended}"], values, scalar_row, is_planned=True)
        if entry is not None:
            job_ids = write_object(entry, due.floor, job_ids)
        facts = {"before": due.cutoff, "archive": entry and entry.pk}
        return replace(_delete(due, job_ids, f"{ended}_jobs", facts), archived=0 if entry is None else len(job_ids))


def _delete(due: DueTenant, job_ids: list[UUID], rule: str, facts: Mapping[str, Any]) -> PrunedJobs:
    """Delete locked jobs of a tenant, with log and output, and record it."""
    if not job_ids:
        return PrunedJobs(due.tenant_id, 0, 0, 0)
    values = {**due.parameters(), "job_ids": job_ids, "first": min(job_ids)}
    deleted = fetch_one(_SQL["delete_jobs"], values, is_planned=True)
    log_lines = execute(_PRUNE_LOGS, values, is_planned=True)
    output = execute(_PRUNE_OUTPUT, {**values, "output": OUTPUT_EVENT}, is_planned=True)
    removed = {"scheduling_job": deleted.jobs, "scheduling_deadletter": deleted.letters, "scheduling_joblog": log_lines}
    removed |= {"scheduling_jobevent": output, "scheduling_job_meta": deleted.meta}
    removed |= {"scheduling_job_subject": deleted.subjects, "scheduling_control_hold": deleted.control_holds}
    record_pruning(rule, removed, tenant_id=due.tenant_id, **facts)
    return PrunedJobs(due.tenant_id, deleted.jobs, deleted.letters, log_lines)
