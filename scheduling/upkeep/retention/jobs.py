"""Removing ended jobs with their logs, and batches of which no job is left. What has not ended is never removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from psycopg.rows import namedtuple_row

from scheduling.jobs.lifecycle import DEAD_STATES, TERMINAL_STATES, JobState
from scheduling.upkeep.retention.rules import Cutoffs, first_due
from tenants.context import all_tenants
from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql

FINISHED_STATES = tuple(sorted(TERMINAL_STATES - DEAD_STATES))
_DEAD = tuple(sorted(DEAD_STATES))

_SQL = load_sql(__file__)
_PRUNE_LOGS = _SQL["prune_logs"]


@dataclass(frozen=True, slots=True)
class PrunedJobs:
    """What one statement removed, of the first of the tenants that had something; None: none of them had."""

    tenant_id: UUID | None
    jobs: int
    letters: int
    log_lines: int


def prune_finished_jobs(cutoffs: Cutoffs, *, limit: int) -> PrunedJobs:
    """Remove the oldest completed and cancelled jobs of one of the tenants, at most ``limit``."""
    return _prune("finished", FINISHED_STATES, cutoffs, limit)


def prune_failed_jobs(cutoffs: Cutoffs, *, limit: int) -> PrunedJobs:
    """Remove the oldest discarded and quarantined jobs of one of the tenants with their dead letters."""
    return _prune("failed", _DEAD, cutoffs, limit)


def prune_batches(cutoffs: Cutoffs, *, limit: int) -> int:
    """Remove old batches of which no job is left, at most ``limit``; how many."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_SQL["prune_batches"], {**cutoffs.parameters(), "limit": limit})
        return int(cursor.rowcount)


def count_prunable(cutoffs: Cutoffs) -> tuple[int, int]:
    """How many finished and how many failed jobs are old enough; for a dry run, walks them."""
    counts = []
    with all_tenants(), connection.cursor() as cursor:
        for name, states in (("count_finished", FINISHED_STATES), ("count_failed", _DEAD)):
            cursor.execute(_SQL[name], {**cutoffs.parameters(), "states": list(states)})
            counts.append(int(cursor.fetchone()[0]))
    return counts[0], counts[1]


def _prune(ended: str, states: Sequence[JobState], cutoffs: Cutoffs, limit: int) -> PrunedJobs:
    parameters: dict[str, Any] = {"states": list(states), "limit": limit}
    with all_tenants(), planned_cursor(namedtuple_row) as cursor:
        due = first_due(cutoffs, _SQL[f"find_{ended}"], parameters)
        if due is None:
            return PrunedJobs(None, 0, 0, 0)
        cursor.execute(_SQL[f"prune_{ended}"], {**parameters, **due.parameters()})
        pruned = cursor.fetchone()
        log_lines = 0
        if pruned.job_ids:
            cursor.execute(_PRUNE_LOGS, {"job_ids": pruned.job_ids, "first": pruned.job_ids[0]})
            log_lines = cursor.rowcount
    return PrunedJobs(due.tenant_id, len(pruned.job_ids), pruned.letters, log_lines)
