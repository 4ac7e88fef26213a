"""Removing ended jobs with their logs, and batches of which no job is left. What has not ended is never removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.lifecycle import DEAD_STATES, TERMINAL_STATES, JobState
from scheduling.services.retention.rules import DUE, Cutoffs, first_due
from tenants.context import all_tenants

FINISHED_STATES = tuple(sorted(TERMINAL_STATES - DEAD_STATES))
_DEAD = tuple(sorted(DEAD_STATES))

# A job ends after it was made, so what is old enough has an id below the floor: the range of ids is the index, and
# within it all but a few have ended.
_FINISHED = """
    FROM scheduling_job j
    WHERE j.tenant_id = {tenant_id} AND j.id < {floor} AND j.state = ANY (%(states)s) AND j.finished_at < {cutoff}
"""
# The dead are few among the jobs: they are found by their letters.
_FAILED = """
    FROM scheduling_deadletter l JOIN scheduling_job j ON j.id = l.job_id AND j.tenant_id = l.tenant_id
    WHERE l.tenant_id = {tenant_id} AND l.id < {floor} AND j.state = ANY (%(states)s) AND j.finished_at < {cutoff}
"""
# One statement removes of one tenant, named by values: only then does the planner know how much lies before the limit.
_PRUNE = """
WITH doomed AS (
    SELECT j.id, j.tenant_id, j.batch_id {old} ORDER BY {order} LIMIT %(limit)s FOR UPDATE OF j SKIP LOCKED
), letter AS (
    DELETE FROM scheduling_deadletter l USING doomed d WHERE l.job_id = d.id RETURNING l.id
), batch AS (
    UPDATE scheduling_batch b SET pruned = b.pruned + g.jobs
    FROM (SELECT batch_id, count(*) AS jobs FROM doomed WHERE batch_id IS NOT NULL GROUP BY 1) AS g
    WHERE b.id = g.batch_id
), job AS (
    DELETE FROM scheduling_job j USING doomed d WHERE j.id = d.id RETURNING j.id
)
SELECT (SELECT coalesce(array_agg(id ORDER BY id), '{{}}') FROM job), (SELECT count(*) FROM letter)
"""
_OF_ONE = {"tenant_id": "%(tenant_id)s", "floor": "%(floor)s", "cutoff": "%(cutoff)s"}
_OF_EACH = {"tenant_id": "d.tenant_id", "floor": "d.floor", "cutoff": "d.cutoff"}
_PRUNE_BATCHES = """
WITH doomed AS (
    SELECT b.id FROM {due} CROSS JOIN LATERAL (
        SELECT b.id FROM scheduling_batch b
        WHERE b.tenant_id = d.tenant_id AND b.id < d.floor AND b.created_at < d.cutoff
            -- What is done at its end may be still to come.
            AND b.fire_at IS NULL AND (b.ended_at IS NOT NULL OR b.closed_at IS NULL)
            AND NOT EXISTS (SELECT FROM scheduling_job j WHERE j.tenant_id = b.tenant_id AND j.batch_id = b.id)
        LIMIT %(limit)s
    ) AS b LIMIT %(limit)s
)
DELETE FROM scheduling_batch b USING doomed d WHERE b.id = d.id
"""
_COUNT = "SELECT count(*) FROM {due} CROSS JOIN LATERAL (SELECT 1 AS one {old}) AS j"
# Logs come after their job was made, so its id bounds the days that are looked at.
_PRUNE_LOGS = "DELETE FROM scheduling_joblog WHERE job_id = ANY (%s) AND id >= %s"


@dataclass(frozen=True, slots=True)
class PrunedJobs:
    """What one statement removed, of the first of the tenants that had something; None: none of them had."""

    tenant_id: UUID | None
    jobs: int
    letters: int
    log_lines: int


def prune_finished_jobs(cutoffs: Cutoffs, *, limit: int) -> PrunedJobs:
    """Remove the oldest completed and cancelled jobs of one of the tenants, at most ``limit``."""
    return _prune(_FINISHED, "j.id", FINISHED_STATES, cutoffs, limit)


def prune_failed_jobs(cutoffs: Cutoffs, *, limit: int) -> PrunedJobs:
    """Remove the oldest discarded and quarantined jobs of one of the tenants with their dead letters."""
    return _prune(_FAILED, "l.id", _DEAD, cutoffs, limit)


def prune_batches(cutoffs: Cutoffs, *, limit: int) -> int:
    """Remove old batches of which no job is left, at most ``limit``; how many."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_PRUNE_BATCHES.format(due=DUE), {**cutoffs.parameters(), "limit": limit})
        return int(cursor.rowcount)


def count_prunable(cutoffs: Cutoffs) -> tuple[int, int]:
    """How many finished and how many failed jobs are old enough; for a dry run, walks them."""
    counts = []
    with all_tenants(), connection.cursor() as cursor:
        for old, states in ((_FINISHED, FINISHED_STATES), (_FAILED, _DEAD)):
            statement = _COUNT.format(due=DUE, old=old.format(**_OF_EACH))
            cursor.execute(statement, {**cutoffs.parameters(), "states": list(states)})
            counts.append(int(cursor.fetchone()[0]))
    return counts[0], counts[1]


def _prune(old: str, order: str, states: Sequence[JobState], cutoffs: Cutoffs, limit: int) -> PrunedJobs:
    parameters: dict[str, Any] = {"states": list(states), "limit": limit}
    with all_tenants(), connection.cursor() as cursor:
        due = first_due(cutoffs, old.format(**_OF_EACH), parameters)
        if due is None:
            return PrunedJobs(None, 0, 0, 0)
        cursor.execute(_PRUNE.format(old=old.format(**_OF_ONE), order=order), {**parameters, **due.parameters()})
        job_ids, letters = cursor.fetchone()
        log_lines = 0
        if job_ids:
            cursor.execute(_PRUNE_LOGS, [job_ids, job_ids[0]])
            log_lines = cursor.rowcount
    return PrunedJobs(due.tenant_id, len(job_ids), letters, log_lines)
