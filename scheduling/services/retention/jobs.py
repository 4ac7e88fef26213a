"""Removing ended jobs with their logs, and batches of which no job is left. What has not ended is never removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from scheduling.lifecycle import DEAD_STATES, TERMINAL_STATES, JobState
from scheduling.services.retention.rules import Cutoffs
from tenants.context import all_tenants

FINISHED_STATES = tuple(sorted(TERMINAL_STATES - DEAD_STATES))
_DEAD = tuple(sorted(DEAD_STATES))

_DUE = """
WITH due AS (
    SELECT * FROM unnest(%(tenant_ids)s::uuid[], %(floors)s::uuid[], %(cutoffs)s::timestamptz[])
        AS d(tenant_id, floor, cutoff)
)"""
# A job ends after it was made, so what is old enough has an id below the floor: the range of ids is the index, and
# within it all but a few have ended.
_FINISHED = """
    FROM scheduling_job j
    WHERE j.tenant_id = d.tenant_id AND j.id < d.floor AND j.state = ANY (%(states)s) AND j.finished_at < d.cutoff
"""
# The dead are few among the jobs: they are found by their letters.
_FAILED = """
    FROM scheduling_deadletter l JOIN scheduling_job j ON j.id = l.job_id AND j.tenant_id = l.tenant_id
    WHERE l.tenant_id = d.tenant_id AND l.id < d.floor AND j.state = ANY (%(states)s) AND j.finished_at < d.cutoff
"""
_PRUNE = """{due}, chosen AS (
    SELECT d.* FROM due d WHERE EXISTS (SELECT {old}) ORDER BY d.tenant_id LIMIT 1
), doomed AS (
    SELECT j.* FROM chosen d CROSS JOIN LATERAL (
        SELECT j.id, j.tenant_id, j.batch_id {old} ORDER BY {order} LIMIT %(limit)s FOR UPDATE OF j SKIP LOCKED
    ) AS j
), letter AS (
    DELETE FROM scheduling_deadletter l USING doomed d WHERE l.job_id = d.id RETURNING l.id
), batch AS (
    UPDATE scheduling_batch b SET pruned = b.pruned + g.jobs
    FROM (SELECT batch_id, count(*) AS jobs FROM doomed WHERE batch_id IS NOT NULL GROUP BY 1) AS g
    WHERE b.id = g.batch_id
), job AS (
    DELETE FROM scheduling_job j USING doomed d WHERE j.id = d.id RETURNING j.id
)
SELECT (SELECT tenant_id FROM chosen), (SELECT coalesce(array_agg(id ORDER BY id), '{{}}') FROM job),
    (SELECT count(*) FROM letter)
"""
# Logs come after their job was made, so its id bounds the days that are looked at.
_PRUNE_LOGS = "DELETE FROM scheduling_joblog WHERE job_id = ANY (%s) AND id >= %s"
_PRUNE_BATCHES = """{due}, doomed AS (
    SELECT b.id FROM due d CROSS JOIN LATERAL (
        SELECT b.id FROM scheduling_batch b
        WHERE b.tenant_id = d.tenant_id AND b.id < d.floor AND b.created_at < d.cutoff
            AND NOT EXISTS (SELECT FROM scheduling_job j WHERE j.tenant_id = b.tenant_id AND j.batch_id = b.id)
        LIMIT %(limit)s
    ) AS b LIMIT %(limit)s
)
DELETE FROM scheduling_batch b USING doomed d WHERE b.id = d.id
"""
_COUNT = "{due} SELECT count(*) FROM due d CROSS JOIN LATERAL (SELECT 1 AS one {old}) AS j"


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
        cursor.execute(_PRUNE_BATCHES.format(due=_DUE), {**cutoffs.parameters(), "limit": limit})
        return int(cursor.rowcount)


def count_prunable(cutoffs: Cutoffs) -> tuple[int, int]:
    """How many finished and how many failed jobs are old enough; for a dry run, walks them."""
    counts = []
    with all_tenants(), connection.cursor() as cursor:
        for old, states in ((_FINISHED, FINISHED_STATES), (_FAILED, _DEAD)):
            cursor.execute(_COUNT.format(due=_DUE, old=old), {**cutoffs.parameters(), "states": list(states)})
            counts.append(int(cursor.fetchone()[0]))
    return counts[0], counts[1]


def _prune(old: str, order: str, states: Sequence[JobState], cutoffs: Cutoffs, limit: int) -> PrunedJobs:
    statement = _PRUNE.format(due=_DUE, old=old, order=order)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(statement, {**cutoffs.parameters(), "states": list(states), "limit": limit})
        tenant_id, job_ids, letters = cursor.fetchone()
        log_lines = 0
        if job_ids:
            cursor.execute(_PRUNE_LOGS, [job_ids, job_ids[0]])
            log_lines = cursor.rowcount
    return PrunedJobs(tenant_id, len(job_ids), letters, log_lines)
