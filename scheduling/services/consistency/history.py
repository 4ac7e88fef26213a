"""History against jobs: jobs that are gone, charges without executions, and sequences of events that are illegal.

History outlives its jobs, and is removed itself, whole or in part. So it is compared where all of it is kept: with jobs
that are younger than the shortest time for which any plan keeps events, and where a row misses another, within a day.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_noop

from scheduling.lifecycle import ALLOWED_TRANSITIONS, TERMINAL_STATES
from scheduling.models.executions import HistoryRow
from scheduling.services.consistency.executions import CLOSED_EVENT
from scheduling.services.consistency.jobs import JOBS
from scheduling.services.consistency.registry import Fault, FaultKind, Look, Piece, StateCheck
from scheduling.services.consistency.walk import Table, look_at_page
from scheduling.services.retention.history import day_of
from scheduling.services.retention.rules import Kept, least_cutoff
from tenants.clock import read_clock
from tenants.context import all_tenants
from tenants.ids import uuid7_floor
from tenants.selectors.tenant_pages import TenantPage

HISTORY_MISSING = FaultKind(
    "history_missing", gettext_noop("A job has no history, though it is too young to have lost it.")
)
HISTORY_DIFFERS = FaultKind("history_differs", gettext_noop("A job is in a state that its history does not lead to."))
HISTORY_ILLEGAL = FaultKind("history_illegal", gettext_noop("A job's history takes a step that no job may take."))
ENDED_TWICE = FaultKind("ended_twice", gettext_noop("A job's history ends more than once."))
JOB_LOST = FaultKind("job_lost", gettext_noop("A job was accepted within the last day, has not ended, and is gone."))
CHARGE_WITHOUT_EXECUTION = FaultKind(
    "charge_without_execution", gettext_noop("A charge's execution is neither ended nor in flight.")
)
LOG_WITHOUT_JOB = FaultKind("log_without_job", gettext_noop("Lines of a log belong to a job that is gone."))
HISTORY_WITHOUT_TENANT = FaultKind("history_without_tenant", gettext_noop("History belongs to a tenant that is gone."))
# Nothing younger than this is ever removed.
YOUNG = timedelta(days=1)
# A process' clock dates the ids of what it writes.
CLOCK_SLACK = timedelta(days=1)
_TERMINAL = sorted(state.value for state in TERMINAL_STATES)
_STEPS = sorted(f"{before}>{after}" for before, allowed in ALLOWED_TRANSITIONS.items() for after in (before, *allowed))
_STORIES = """
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, state FROM scheduling_job WHERE <piece>
), event AS (
    SELECT j.id, j.tenant_id, j.state AS job_state, e.job_id, e.state,
        lead(e.state) OVER story IS NULL AS is_last,
        e.state = ANY (%(terminal)s) AS is_end,
        lag(e.state) OVER story || '>' || e.state AS step
    FROM piece j LEFT JOIN scheduling_jobevent e
        ON e.tenant_id = j.tenant_id AND e.job_id = j.id AND e.id >= %(events_since)s AND e.name <> %(closed)s
    -- Clocks may be set back, numbers are not. What was written before there were numbers has none, and comes first.
    WINDOW story AS (PARTITION BY j.id ORDER BY e.position NULLS FIRST, e.at, e.id)
), told AS (
    SELECT id, tenant_id, job_state = ANY (%(terminal)s) AS is_ended,
        count(job_id) AS events,
        count(job_id) FILTER (WHERE is_end) AS ends,
        bool_or(is_end AND state = job_state) AS is_end_told,
        bool_or(is_last AND state = job_state) AS is_state_told,
        bool_or(step <> ALL (%(steps)s)) AS is_illegal
    FROM event GROUP BY 1, 2, 3
)
SELECT f.code, t.tenant_id, t.id::text
FROM told t CROSS JOIN LATERAL (VALUES
    ('history_missing', t.events = 0),
    ('history_differs', t.events > 0 AND CASE WHEN t.is_ended THEN NOT t.is_end_told
        ELSE t.ends > 0 OR NOT t.is_state_told END),
    ('history_illegal', t.is_illegal),
    ('ended_twice', t.ends > 1)
) AS f(code, is_wrong)
WHERE f.is_wrong
"""
_LOST = """
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, job_id FROM scheduling_jobevent
    WHERE <piece> AND name = 'job.submitted' AND job_id >= %(since)s
)
SELECT 'job_lost', e.tenant_id, e.job_id::text FROM piece e
WHERE NOT EXISTS (SELECT FROM scheduling_job j WHERE j.id = e.job_id) AND NOT EXISTS (
    SELECT FROM scheduling_jobevent o WHERE o.tenant_id = e.tenant_id AND o.job_id = e.job_id
        AND o.id >= %(since)s AND o.state = ANY (%(terminal)s))
"""
_CHARGES = """
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, execution_id FROM scheduling_charge WHERE <piece> AND execution_id >= %(since)s
)
SELECT 'charge_without_execution', c.tenant_id, c.id::text FROM piece c
WHERE NOT EXISTS (SELECT FROM scheduling_execution_live l WHERE l.id = c.execution_id)
    AND NOT EXISTS (SELECT FROM scheduling_execution e WHERE e.id = c.execution_id)
"""
_LOGS = """
WITH piece AS MATERIALIZED (
    SELECT DISTINCT tenant_id, job_id FROM scheduling_joblog WHERE <piece> AND job_id >= %(since)s
)
SELECT 'log_without_job', l.tenant_id, l.job_id::text FROM piece l
WHERE NOT EXISTS (SELECT FROM scheduling_job j WHERE j.id = l.job_id)
"""
_HISTORY_TABLES = tuple(sorted(model._meta.db_table for model in HistoryRow.__subclasses__()))
# Rows between one tenant's id and the next belong to no tenant: a probe of the index for each gap and table.
_GAPS = """
WITH gap AS (
    SELECT id AS after, lead(id) OVER (ORDER BY id) AS before FROM (
        SELECT id FROM tenants_tenant WHERE id > %(after)s AND id <= %(until)s
        UNION SELECT %(after)s::uuid UNION SELECT %(until)s::uuid
    ) AS tenant
)
SELECT g.tenant_id, g.name FROM gap CROSS JOIN LATERAL (<probes>) AS g WHERE g.tenant_id NOT IN (
    SELECT subject_id FROM tenants_tenanterasure WHERE status = 'running')
""".replace(
    "<probes>",
    " UNION ALL ".join(
        f"(SELECT tenant_id, '{name}' AS name FROM {name}"  # noqa: S608 - constants
        " WHERE tenant_id > gap.after AND tenant_id < gap.before LIMIT 1)"
        for name in _HISTORY_TABLES
    ),
)


def look_at_stories(piece: Piece) -> Look:
    """Find jobs whose events do not lead to their state."""
    with all_tenants():
        since = day_of(least_cutoff(Kept.EVENTS)) + timedelta(days=1)
    parameters = {
        "terminal": _TERMINAL,
        "closed": CLOSED_EVENT,
        "events_since": uuid7_floor(since - CLOCK_SLACK),
        "steps": _STEPS,
    }
    return JOBS.look(_STORIES, _beginning_at(piece, uuid7_floor(since)), parameters=parameters)


def _look_at_young(table: str, statement: str, piece: Piece) -> Look:
    since = uuid7_floor(read_clock() - YOUNG)
    return Table(table).look(statement, _beginning_at(piece, since), parameters={"since": since, "terminal": _TERMINAL})


def look_for_lost_jobs(piece: Piece) -> Look:
    """Find jobs that were accepted, have not ended, and are gone."""
    return _look_at_young("scheduling_jobevent", _LOST, piece)


def look_at_charges(piece: Piece) -> Look:
    """Find charges whose executions do not exist."""
    return _look_at_young("scheduling_charge", _CHARGES, piece)


def look_at_logs(piece: Piece) -> Look:
    """Find log lines whose jobs are gone."""
    return _look_at_young("scheduling_joblog", _LOGS, piece)


def look_for_ghosts(piece: Piece) -> Look:
    """Find history whose tenants are gone."""
    return look_at_page(piece, _find_ghosts)


def _find_ghosts(page: TenantPage) -> list[Fault]:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_GAPS, page.parameters())
        return [Fault(HISTORY_WITHOUT_TENANT.code, ghost, name) for ghost, name in cursor.fetchall()]


def _beginning_at(piece: Piece, least: UUID) -> Piece:
    return piece if piece.after else replace(piece, after={"id": str(least)})


CHECKS = (
    StateCheck(
        "history",
        (HISTORY_MISSING, HISTORY_DIFFERS, HISTORY_ILLEGAL, ENDED_TWICE),
        look_at_stories,
    ),
    StateCheck("lost_jobs", (JOB_LOST,), look_for_lost_jobs),
    StateCheck("charges", (CHARGE_WITHOUT_EXECUTION,), look_at_charges),
    StateCheck("logs", (LOG_WITHOUT_JOB,), look_at_logs),
    StateCheck("history_tenants", (HISTORY_WITHOUT_TENANT,), look_for_ghosts, knows_tenants=False),
)
