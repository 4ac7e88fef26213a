"""Checks of history against jobs: lost jobs, charges without executions, illegal sequences of events.

History is kept longer than its jobs, and is pruned as well. Only history that is certainly complete is compared: that
of jobs younger than the shortest retention of events in any plan or, where one row requires another, of the last day.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.consistency.executions import CLOSED_EVENT
from scheduling.consistency.jobs import JOBS
from scheduling.consistency.registry import CheckPage, CheckRange, ConsistencyFault, FaultKind, StateCheck
from scheduling.consistency.walk import Table, check_page
from scheduling.jobs.history import OUTPUT_EVENT
from scheduling.jobs.lifecycle import ALLOWED_TRANSITIONS
from scheduling.upkeep.retention.history import day_of
from scheduling.upkeep.retention.rules import RetentionClass, least_cutoff
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.tenancy.queries import TenantPage

HISTORY_MISSING = FaultKind(
    "history_missing", gettext_noop("A job has no history, although it is too young for pruning.")
)
HISTORY_DIFFERS = FaultKind("history_differs", gettext_noop("A job is in a state that its history does not lead to."))
HISTORY_ILLEGAL = FaultKind("history_illegal", gettext_noop("A job's history contains a forbidden transition."))
ENDED_TWICE = FaultKind("ended_twice", gettext_noop("A job's history ends more than once."))
JOB_LOST = FaultKind("job_lost", gettext_noop("A job was accepted within the last day, has not ended, and is missing."))
CHARGE_WITHOUT_EXECUTION = FaultKind(
    "charge_without_execution", gettext_noop("A charge's execution is neither ended nor in flight.")
)
LOG_WITHOUT_JOB = FaultKind("log_without_job", gettext_noop("Log lines belong to a job that does not exist."))
HISTORY_WITHOUT_TENANT = FaultKind(
    "history_without_tenant", gettext_noop("History belongs to a tenant that does not exist.")
)
# Younger rows are never pruned.
YOUNG = timedelta(days=1)
# Ids are dated by the clock of the writing process.
CLOCK_SLACK = timedelta(days=1)
_STEPS = sorted(f"{before}>{after}" for before, allowed in ALLOWED_TRANSITIONS.items() for after in (before, *allowed))
_SQL = load_sql(__file__)
_STORIES, _LOST, _CHARGES = _SQL["check_job_events"], _SQL["find_lost_jobs"], _SQL["find_stray_charges"]
_LOGS, _GAPS = _SQL["find_stray_logs"], _SQL["find_ghosts"]


def check_job_events(piece: CheckRange) -> CheckPage:
    """Find jobs whose events do not lead to their present state."""
    with all_tenants():
        since = day_of(least_cutoff(RetentionClass.EVENTS)) + timedelta(days=1)
    parameters = {
        "not_changes": [CLOSED_EVENT, OUTPUT_EVENT],
        "events_since": uuid7_floor(since - CLOCK_SLACK),
        "steps": _STEPS,
    }
    return JOBS.look(_STORIES, _beginning_at(piece, uuid7_floor(since)), parameters=parameters)


def _look_at_young(table: str, statement: str, piece: CheckRange) -> CheckPage:
    since = uuid7_floor(read_clock() - YOUNG)
    return Table(table).look(statement, _beginning_at(piece, since), parameters={"since": since})


def find_lost_jobs(piece: CheckRange) -> CheckPage:
    """Find jobs that have an event of their acceptance and none of their end, but no row."""
    return _look_at_young("scheduling_jobevent", _LOST, piece)


def check_charges(piece: CheckRange) -> CheckPage:
    """Find charges whose executions do not exist."""
    return _look_at_young("scheduling_charge", _CHARGES, piece)


def check_logs(piece: CheckRange) -> CheckPage:
    """Find log lines whose jobs do not exist."""
    return _look_at_young("scheduling_joblog", _LOGS, piece)


def find_ghost_executions(piece: CheckRange) -> CheckPage:
    """Find history of tenants that do not exist."""
    return check_page(piece, _find_ghosts)


def _find_ghosts(page: TenantPage) -> list[ConsistencyFault]:
    with all_tenants():
        rows = fetch_all(_GAPS, page.parameters(), is_planned=True)
    return [ConsistencyFault(HISTORY_WITHOUT_TENANT.code, row.tenant_id, row.name) for row in rows]


def _beginning_at(piece: CheckRange, least: UUID) -> CheckRange:
    return piece if piece.after else replace(piece, after={"id": str(least)})


CHECKS = (
    StateCheck(
        "history",
        (HISTORY_MISSING, HISTORY_DIFFERS, HISTORY_ILLEGAL, ENDED_TWICE),
        check_job_events,
    ),
    StateCheck("lost_jobs", (JOB_LOST,), find_lost_jobs),
    StateCheck("charges", (CHARGE_WITHOUT_EXECUTION,), check_charges),
    StateCheck("logs", (LOG_WITHOUT_JOB,), check_logs),
    StateCheck("history_tenants", (HISTORY_WITHOUT_TENANT,), find_ghost_executions, knows_tenants=False),
)
