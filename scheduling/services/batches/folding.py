"""Counting what has ended: news is folded into its batches, and a batch whose last job ended is over, once.

One statement at a time, by one process. A batch whose row somebody holds, to add jobs to it, is left for the next.
"""

from __future__ import annotations

from uuid import UUID

from django.db import connection

from scheduling.lifecycle import JobState
from scheduling.services.leadership import lead
from scheduling.services.waiting import make_ready
from scheduling.services.wakes import wake_on_commit
from tenants.context import all_tenants
from tenants.locks import LockClass

FOLD_ROWS = 10_000
# What is locked is the row as it is by then; where it changed since this statement began, PostgreSQL reckons the
# update anew from that row. So nobody adds a job between its total and its end.
_FOLD = """
WITH looked AS MATERIALIZED (
    SELECT id, batch_id FROM scheduling_batch_news ORDER BY id LIMIT %(limit)s
), locked AS MATERIALIZED (
    SELECT b.id FROM scheduling_batch b WHERE b.id IN (SELECT batch_id FROM looked)
    ORDER BY b.id FOR NO KEY UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM scheduling_batch_news n USING looked k
    WHERE n.id = k.id AND (k.batch_id IN (SELECT id FROM locked)
        OR NOT EXISTS (SELECT FROM scheduling_batch b WHERE b.id = k.batch_id))
    RETURNING n.batch_id, n.state
), counted AS (
    SELECT batch_id, count(*) FILTER (WHERE state = 'completed') AS completed,
        count(*) FILTER (WHERE state IN ('discarded', 'quarantined')) AS failed,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled
    FROM gone GROUP BY 1
), batch AS (
    UPDATE scheduling_batch b SET
        completed = b.completed + c.completed,
        failed = b.failed + c.failed,
        cancelled = b.cancelled + c.cancelled,
        ended_at = CASE WHEN <is over> THEN now() ELSE b.ended_at END,
        fire_at = CASE WHEN <is over> AND b.on_completion IS NOT NULL AND b.fired_job_id IS NULL
            AND (b.completed + c.completed = b.total
                OR NOT coalesce((b.on_completion ->> 'only_if_completed')::bool, false)) THEN now() ELSE b.fire_at END
    FROM counted c WHERE b.id = c.batch_id
    RETURNING b.waiting_job_id, b.ended_at = now() AS is_over
)
SELECT (SELECT count(*) FROM looked), (SELECT count(*) FROM gone),
    (SELECT coalesce(array_agg(waiting_job_id), '{}') FROM batch WHERE is_over AND waiting_job_id IS NOT NULL)
""".replace(
    "<is over>",
    "b.ended_at IS NULL AND b.closed_at IS NOT NULL AND b.completed + c.completed + b.failed + c.failed"
    " + b.cancelled + c.cancelled >= b.total",
)


def fold_batches(*, limit: int = FOLD_ROWS) -> int:
    """Count what has ended into its batches; those that are over let their waiting jobs go on. How much was news."""
    with all_tenants():
        if not lead(LockClass.BATCHES):
            return 0
        with connection.cursor() as cursor:
            cursor.execute(_FOLD, {"limit": limit})
            looked, folded, waiting = cursor.fetchone()
            if looked == limit and not folded:
                # All of these are of batches that are held: what stands behind them is not to wait for those.
                cursor.execute(_FOLD, {"limit": None})
                _, folded, waiting = cursor.fetchone()
        if waiting:
            resume_parents(waiting)
    return int(folded)


def resume_parents(job_ids: list[UUID]) -> None:
    """Let jobs go on that waited for their children; who is not suspended any more has gone on, or never will."""
    make_ready(job_ids, from_states=[JobState.SUSPENDED], event="job.children_ended")
    wake_on_commit()
