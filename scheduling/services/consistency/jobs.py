"""Jobs against the one place of their state, their executions, dead letters and deadlines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.utils.translation import gettext_noop

from scheduling.lifecycle import DEAD_STATES, TERMINAL_STATES
from scheduling.services import verdicts
from scheduling.services.consistency.registry import FaultKind, Look, Piece, RepairOrder, StateCheck
from scheduling.services.consistency.waiting import append_repair_events, put_where_they_wait
from scheduling.services.consistency.walk import Table
from tenants.ids import uuid7s

JOB_NOWHERE = FaultKind(
    "job_nowhere",
    gettext_noop("A job waits in no place, so that nothing will ever start it."),
    "Puts it where its state waits; one that waited for a time now lost is due at once.",
)
JOB_IN_TWO_PLACES = FaultKind(
    "job_in_two_places",
    gettext_noop("A job stands in two places and would run twice."),
    "Keeps the place of its state, ready before set aside, and removes the other.",
)
JOB_WITHOUT_EXECUTION = FaultKind(
    "job_without_execution",
    gettext_noop("A job is dispatched or executing, and no execution of it is in flight."),
    "Makes it available again, at its last checkpoint; no attempt is burned.",
)
ATTEMPTS_OVER = FaultKind("attempts_over", gettext_noop("A job has used more attempts than it may."))
DEAD_LETTER_MISSING = FaultKind(
    "dead_letter_missing",
    gettext_noop("A discarded or quarantined job has no dead letter."),
    "Writes the letter from the job's error and the reason that its history tells.",
)
DEAD_LETTER_UNFOUNDED = FaultKind("dead_letter_unfounded", gettext_noop("A job has a dead letter and is not dead."))
DEADLINE_MISSING = FaultKind(
    "deadline_missing",
    gettext_noop("A job has a deadline that nobody keeps."),
    "Writes it where the sweep looks; one that has passed discards the job.",
)
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
# Lock the places where a job may wait or run in the usual order: the place and the execution before the job. A job that
# is in none of them cannot move, because a move locks the job's row.
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
    JOB_IN_TWO_PLACES.code: _KEEP_ONE,
    DEAD_LETTER_MISSING.code: _WRITE_LETTERS,
    DEADLINE_MISSING.code: _WRITE_DEADLINES,
}


def look(piece: Piece) -> Look:
    """Find jobs that are in no place, in two, or without the rows of their state."""
    return JOBS.look(_LOOK, piece, parameters=_STATES)


def repair(order: RepairOrder) -> None:
    """Put jobs into their places and write their missing rows, under the locks of the places and the jobs."""
    assert order.tenant_id is not None  # every job has one
    values: dict[str, Any] = {
        **_STATES,
        "job_ids": order.subjects,
        "letter_ids": uuid7s(len(order.subjects)),
        "late": verdicts.DEADLINE_PASSED.fingerprint,
    }
    with connection.cursor() as cursor:
        for statement in _LOCK:
            cursor.execute(statement, values)
        if order.code in _STATEMENTS:
            cursor.execute(_STATEMENTS[order.code], values)
    if order.code == JOB_NOWHERE.code:
        put_where_they_wait(order.tenant_id, order.subjects)
    elif order.code == JOB_WITHOUT_EXECUTION.code:
        put_where_they_wait(order.tenant_id, _make_available(values))


def _make_available(values: dict[str, Any]) -> Sequence[str]:
    with connection.cursor() as cursor:
        cursor.execute(_MAKE_AVAILABLE, values)
        job_ids = [str(job_id) for (job_id,) in cursor.fetchall()]
    append_repair_events(job_ids, code=JOB_WITHOUT_EXECUTION.code)
    return job_ids


CHECKS = (
    StateCheck(
        "jobs",
        (
            JOB_NOWHERE,
            JOB_IN_TWO_PLACES,
            JOB_WITHOUT_EXECUTION,
            ATTEMPTS_OVER,
            DEAD_LETTER_MISSING,
            DEAD_LETTER_UNFOUNDED,
            DEADLINE_MISSING,
        ),
        look,
        repair,
    ),
)
