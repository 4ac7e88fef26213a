"""Checks of jobs against the other rows that their state requires: queue entry, execution, dead letter, deadline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_noop
from psycopg.rows import scalar_row

from scheduling.consistency.registry import CheckPage, CheckRange, FaultKind, RepairOrder, StateCheck
from scheduling.consistency.waiting import append_repair_events, restore_waiting_rows
from scheduling.consistency.walk import Table
from scheduling.execution import settlement_builders
from scheduling.jobs.lifecycle import DEAD_STATES
from tenants.database.ids import uuid7s
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql

JOB_NOWHERE = FaultKind(
    "job_nowhere",
    gettext_noop("A job that waits or is suspended has no queue entry, so it will never start."),
    "Inserts the queue entry that its state requires; a job whose due time is lost is due at once.",
)
JOB_IN_TWO_PLACES = FaultKind(
    "job_in_two_places",
    gettext_noop("A job has two queue entries and would run twice."),
    "Keeps the entry that its state requires (ready before held) and removes the other.",
)
JOB_WITHOUT_EXECUTION = FaultKind(
    "job_without_execution",
    gettext_noop("A job is dispatched or executing, but has no execution in flight."),
    "Makes it available again, at its last checkpoint; no attempt is counted.",
)
ATTEMPTS_OVER = FaultKind("attempts_over", gettext_noop("A job has used more attempts than its maximum."))
DEAD_LETTER_MISSING = FaultKind(
    "dead_letter_missing",
    gettext_noop("A discarded or quarantined job has no dead letter."),
    "Writes the dead letter from the job's error and its history.",
)
DEAD_LETTER_UNFOUNDED = FaultKind("dead_letter_unfounded", gettext_noop("A job has a dead letter and is not dead."))
DEADLINE_MISSING = FaultKind(
    "deadline_missing",
    gettext_noop("A job has a deadline that no sweep reads."),
    "Writes the deadline for the sweep; one that has passed discards the job.",
)
JOBS = Table("scheduling_job")
_STATES = {"dead": sorted(state.value for state in DEAD_STATES)}
_SQL = load_sql(__file__)
_LOOK = _SQL["check_jobs"]
# Lock the places where a job may wait or run in the usual order: the place and the execution before the job. A job
# without any of them cannot move, because a move locks the job's row.
_LOCK = tuple(_SQL[f"lock_{place}"] for place in ("ready", "due", "held", "executions", "jobs"))
_MAKE_AVAILABLE, _KEEP_ONE, _WRITE_LETTERS = _SQL["make_available"], _SQL["keep_one_place"], _SQL["write_letters"]
_WRITE_DEADLINES = _SQL["write_deadlines"]
_STATEMENTS = {
    JOB_IN_TWO_PLACES.code: _KEEP_ONE,
    DEAD_LETTER_MISSING.code: _WRITE_LETTERS,
    DEADLINE_MISSING.code: _WRITE_DEADLINES,
}


def check_jobs(piece: CheckRange) -> CheckPage:
    """Find jobs with no queue entry or with two, or without another row that their state requires."""
    return JOBS.look(_LOOK, piece, parameters=_STATES)


def repair_jobs(order: RepairOrder) -> None:
    """Write the missing rows of jobs, or delete surplus queue entries; first lock the queue entries and the jobs."""
    assert order.tenant_id is not None  # every job has a tenant
    values: dict[str, Any] = {
        **_STATES,
        "job_ids": order.subjects,
        "letter_ids": uuid7s(len(order.subjects)),
        "late": settlement_builders.DEADLINE_PASSED.fingerprint,
    }
    for statement in _LOCK:
        execute(statement, values, is_planned=True)
    if order.code in _STATEMENTS:
        execute(_STATEMENTS[order.code], values, is_planned=True)
    if order.code == JOB_NOWHERE.code:
        restore_waiting_rows(order.tenant_id, order.subjects)
    elif order.code == JOB_WITHOUT_EXECUTION.code:
        restore_waiting_rows(order.tenant_id, _make_available(values))


def _make_available(values: dict[str, Any]) -> Sequence[str]:
    job_ids = [str(job_id) for job_id in fetch_all(_MAKE_AVAILABLE, values, scalar_row, is_planned=True)]
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
        check_jobs,
        repair_jobs,
    ),
)
