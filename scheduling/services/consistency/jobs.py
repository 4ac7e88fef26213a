"""Jobs, looked at one by one: does each stand in the one place of its state, with what belongs to that state?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

from scheduling.lifecycle import DEAD_STATES, TERMINAL_STATES
from scheduling.services import verdicts
from scheduling.services.consistency import kinds
from scheduling.services.consistency.events import append_repair_events
from scheduling.services.consistency.lines import put_where_they_wait
from scheduling.services.consistency.pieces import Table
from scheduling.services.consistency.registry import Look, Piece, RepairOrder, StateCheck
from tenants.ids import uuid7s

JOBS = Table("scheduling_job")
_STATES = {
    "terminal": sorted(state.value for state in TERMINAL_STATES),
    "dead": sorted(state.value for state in DEAD_STATES),
}
_LOOK = """
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, queue_id, fair_key, rank, state, attempt, max_retries, deadline_at
    FROM scheduling_job WHERE <piece>
), placed AS (
    SELECT j.*, r.job_id IS NOT NULL AS is_ready, h.job_id IS NOT NULL AS is_held, d.job_id IS NOT NULL AS is_due,
        s.job_id IS NOT NULL AS is_suspended, l.id IS NOT NULL AS is_live, x.id IS NOT NULL AS has_letter,
        z.job_id IS NOT NULL AS has_deadline
    FROM piece j
        LEFT JOIN scheduling_schedulingentity e
            ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key
        LEFT JOIN scheduling_job_ready r ON r.entity_id = e.id AND r.rank = j.rank AND r.job_id = j.id
        LEFT JOIN scheduling_job_held h ON h.job_id = j.id
        LEFT JOIN scheduling_job_due d ON d.job_id = j.id
        LEFT JOIN scheduling_job_suspended s ON s.job_id = j.id
        LEFT JOIN scheduling_execution_live l ON l.job_id = j.id
        LEFT JOIN scheduling_deadletter x ON x.job_id = j.id
        LEFT JOIN scheduling_job_deadline z ON z.job_id = j.id
)
SELECT f.code, j.tenant_id, j.id::text
FROM placed j CROSS JOIN LATERAL (VALUES
    ('job_nowhere', CASE j.state WHEN 'available' THEN NOT (j.is_ready OR j.is_held)
        WHEN 'scheduled' THEN NOT j.is_due WHEN 'retryable' THEN NOT j.is_due
        WHEN 'suspended' THEN NOT j.is_suspended ELSE false END),
    ('job_in_two_places',
        j.is_ready::int + j.is_held::int + j.is_due::int + j.is_suspended::int + j.is_live::int > 1),
    ('job_without_execution', j.state IN ('dispatched', 'executing') AND NOT j.is_live),
    ('attempts_over', j.attempt > j.max_retries + 1),
    ('dead_letter_missing', j.state = ANY (%(dead)s) AND NOT j.has_letter),
    ('dead_letter_unfounded', j.state <> ALL (%(dead)s) AND j.has_letter),
    ('deadline_missing', j.deadline_at IS NOT NULL AND j.state <> ALL (%(terminal)s) AND NOT j.has_deadline)
) AS f(code, is_wrong)
WHERE f.is_wrong
"""
# Where a job may wait or run, in the order in which everybody locks: the place and the execution before the job. What
# is in none of them cannot move, for whoever moves it takes the job's row.
_LOCK = (
    """
    SELECT 1 FROM scheduling_job_ready r JOIN scheduling_schedulingentity e ON e.id = r.entity_id
        JOIN scheduling_job j ON j.id = r.job_id AND j.tenant_id = e.tenant_id AND j.queue_id = e.queue_id
            AND j.fair_key = e.fair_key AND j.rank = r.rank
    WHERE j.id = ANY (%(job_ids)s::uuid[]) ORDER BY r.job_id FOR NO KEY UPDATE OF r
    """,
    "SELECT 1 FROM scheduling_job_due WHERE job_id = ANY (%(job_ids)s::uuid[]) ORDER BY job_id FOR NO KEY UPDATE",
    "SELECT 1 FROM scheduling_job_held WHERE job_id = ANY (%(job_ids)s::uuid[]) ORDER BY job_id FOR NO KEY UPDATE",
    "SELECT 1 FROM scheduling_execution_live WHERE job_id = ANY (%(job_ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE",
    "SELECT 1 FROM scheduling_job WHERE id = ANY (%(job_ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE",
)
_MAKE_AVAILABLE = """
UPDATE scheduling_job j SET state = 'available'
WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.state IN ('dispatched', 'executing')
    AND NOT EXISTS (SELECT FROM scheduling_execution_live l WHERE l.job_id = j.id)
RETURNING j.id
"""
# Ready before set aside: a tick sets it aside again where a gate still stands.
_KEEP_ONE = """
DELETE FROM scheduling_job_held h USING scheduling_job j
WHERE h.job_id = ANY (%(job_ids)s::uuid[]) AND j.id = h.job_id AND EXISTS (
    SELECT FROM scheduling_schedulingentity e JOIN scheduling_job_ready r ON r.entity_id = e.id
    WHERE e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key
        AND r.rank = j.rank AND r.job_id = j.id)
"""
_WRITE_LETTERS = """
INSERT INTO scheduling_deadletter (id, tenant_id, job_id, kind, reason, error_type, error_message, error_fingerprint,
    created_at)
SELECT w.letter_id, j.tenant_id, j.id, j.kind,
    CASE WHEN j.state = 'quarantined' THEN 'crashed_workers'
        WHEN j.error_fingerprint = %(late)s THEN 'deadline_passed'
        WHEN j.attempt > j.max_retries THEN 'attempts_exhausted' ELSE 'permanent_error' END,
    j.error_type, j.error_message, j.error_fingerprint, coalesce(j.finished_at, now())
FROM unnest(%(job_ids)s::uuid[], %(letter_ids)s::uuid[]) AS w(job_id, letter_id)
    JOIN scheduling_job j ON j.id = w.job_id
WHERE j.state = ANY (%(dead)s) ON CONFLICT (job_id) DO NOTHING
"""
_WRITE_DEADLINES = """
INSERT INTO scheduling_job_deadline (job_id, tenant_id, deadline_at)
SELECT j.id, j.tenant_id, j.deadline_at FROM scheduling_job j
WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.deadline_at IS NOT NULL AND j.state <> ALL (%(terminal)s)
ON CONFLICT DO NOTHING
"""
_STATEMENTS = {
    kinds.JOB_IN_TWO_PLACES.code: _KEEP_ONE,
    kinds.DEAD_LETTER_MISSING.code: _WRITE_LETTERS,
    kinds.DEADLINE_MISSING.code: _WRITE_DEADLINES,
}


def look(piece: Piece) -> Look:
    """Jobs that are in no place, in two, or without what belongs to their state."""
    return JOBS.look(_LOOK, piece, parameters=_STATES)


def repair(order: RepairOrder) -> None:
    """Put jobs where they belong, and give them what they miss; under the locks of their places and their own."""
    assert order.tenant_id is not None  # every job has one
    values: dict[str, Any] = {
        **_STATES,
        "job_ids": list(order.subjects),
        "letter_ids": uuid7s(len(order.subjects)),
        "late": verdicts.DEADLINE_PASSED.fingerprint,
    }
    with connection.cursor() as cursor:
        for statement in _LOCK:
            cursor.execute(statement, values)
        if order.code in _STATEMENTS:
            cursor.execute(_STATEMENTS[order.code], values)
    if order.code == kinds.JOB_NOWHERE.code:
        put_where_they_wait(order.tenant_id, order.subjects)
    elif order.code == kinds.JOB_WITHOUT_EXECUTION.code:
        put_where_they_wait(order.tenant_id, _make_available(values))


def _make_available(values: dict[str, Any]) -> Sequence[str]:
    with connection.cursor() as cursor:
        cursor.execute(_MAKE_AVAILABLE, values)
        job_ids = [str(job_id) for (job_id,) in cursor.fetchall()]
    append_repair_events(job_ids, code=kinds.JOB_WITHOUT_EXECUTION.code)
    return job_ids


CHECKS = (
    StateCheck(
        "jobs",
        (
            kinds.JOB_NOWHERE,
            kinds.JOB_IN_TWO_PLACES,
            kinds.JOB_WITHOUT_EXECUTION,
            kinds.ATTEMPTS_OVER,
            kinds.DEAD_LETTER_MISSING,
            kinds.DEAD_LETTER_UNFOUNDED,
            kinds.DEADLINE_MISSING,
        ),
        look,
        repair,
    ),
)
