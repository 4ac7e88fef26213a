"""The places where jobs wait, looked at from the place: has it a job, of the right state, in its own line?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import connection

from scheduling.lifecycle import TERMINAL_STATES, JobState
from scheduling.services.consistency import kinds
from scheduling.services.consistency.lines import put_where_they_wait
from scheduling.services.consistency.pieces import Table
from scheduling.services.consistency.registry import Look, Piece, RepairOrder, StateCheck

_LINED = """
WITH piece AS MATERIALIZED (
    SELECT tenant_id, entity_id, rank, job_id FROM <table> WHERE <piece>
)
SELECT f.code, p.tenant_id, p.job_id::text
FROM piece p
    LEFT JOIN scheduling_job j ON j.id = p.job_id AND j.tenant_id = p.tenant_id
    LEFT JOIN scheduling_schedulingentity e ON e.id = p.entity_id
    CROSS JOIN LATERAL (VALUES
        ('place_without_job', j.id IS NULL),
        ('place_of_another_state', j.state <> ALL (%(states)s)),
        ('place_in_wrong_line', j.state = ANY (%(states)s) AND (e.tenant_id, e.queue_id, e.fair_key, p.rank)
            IS DISTINCT FROM (j.tenant_id, j.queue_id, j.fair_key, j.rank))
    ) AS f(code, is_wrong)
WHERE f.is_wrong
"""
_BARE = """
WITH piece AS MATERIALIZED (SELECT tenant_id, job_id FROM <table> WHERE <piece>)
SELECT f.code, p.tenant_id, p.job_id::text
FROM piece p LEFT JOIN scheduling_job j ON j.id = p.job_id AND j.tenant_id = p.tenant_id
    CROSS JOIN LATERAL (VALUES
        ('place_without_job', j.id IS NULL),
        ('place_of_another_state', j.state <> ALL (%(states)s))
    ) AS f(code, is_wrong)
WHERE f.is_wrong
"""
_DEADLINES = """
WITH piece AS MATERIALIZED (SELECT tenant_id, job_id FROM scheduling_job_deadline WHERE <piece>)
SELECT 'deadline_of_ended_job', p.tenant_id, p.job_id::text
FROM piece p JOIN scheduling_job j ON j.id = p.job_id WHERE j.state <> ALL (%(states)s)
"""
# The place is locked before the job, as everywhere; then both are looked at anew.
_LOCK_PLACES = (
    "SELECT 1 FROM <table> WHERE <piece> AND job_id = ANY (%(job_ids)s::uuid[]) ORDER BY job_id FOR NO KEY UPDATE"
)
_LOCK_JOBS = "SELECT 1 FROM scheduling_job WHERE id = ANY (%(job_ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE"
_REMOVE = """
DELETE FROM <table> p WHERE <piece> AND p.job_id = ANY (%(job_ids)s::uuid[]) AND NOT EXISTS (
    SELECT FROM scheduling_job j WHERE j.id = p.job_id AND j.tenant_id = p.tenant_id AND j.state = ANY (%(states)s))
"""
_TAKE_OUT_OF_LINE = """
DELETE FROM <table> p WHERE <piece> AND p.job_id = ANY (%(job_ids)s::uuid[]) AND EXISTS (
    SELECT FROM scheduling_job j LEFT JOIN scheduling_schedulingentity e ON e.id = p.entity_id
    WHERE j.id = p.job_id AND j.state = ANY (%(states)s) AND (e.tenant_id, e.queue_id, e.fair_key, p.rank)
        IS DISTINCT FROM (j.tenant_id, j.queue_id, j.fair_key, j.rank))
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A table of places, and the states whose jobs stand in it."""

    table: Table
    states: Sequence[str]
    statement: str

    def look(self, piece: Piece) -> Look:
        statement = self.statement.replace("<table>", self.table.name)
        return self.table.look(statement, piece, parameters={"states": list(self.states)})

    def repair(self, order: RepairOrder) -> None:
        """Remove what stands there wrongly; what stands in a wrong line goes to its own."""
        is_in_wrong_line = order.code == kinds.PLACE_IN_WRONG_LINE.code
        condition, values = self.table.rows_of(order.piece)
        values |= {"job_ids": list(order.subjects), "states": list(self.states)}
        with connection.cursor() as cursor:
            for statement in (_LOCK_PLACES, _LOCK_JOBS, _TAKE_OUT_OF_LINE if is_in_wrong_line else _REMOVE):
                filled = statement.replace("<table>", self.table.name).replace("<piece>", condition)
                cursor.execute(filled, values)
        if is_in_wrong_line and order.tenant_id is not None:
            put_where_they_wait(order.tenant_id, order.subjects)


_BY_JOB = ("job_id",)
PLACES: Mapping[str, Place] = {
    "ready": Place(Table("scheduling_job_ready", ("entity_id", "rank", "job_id")), [JobState.AVAILABLE.value], _LINED),
    "held": Place(Table("scheduling_job_held", _BY_JOB), [JobState.AVAILABLE.value], _LINED),
    "due": Place(Table("scheduling_job_due", _BY_JOB), [JobState.SCHEDULED.value, JobState.RETRYABLE.value], _LINED),
    "suspended": Place(Table("scheduling_job_suspended", _BY_JOB), [JobState.SUSPENDED.value], _BARE),
    "deadlines": Place(
        Table("scheduling_job_deadline", _BY_JOB),
        sorted(state.value for state in JobState if state not in TERMINAL_STATES),
        _DEADLINES,
    ),
}
_OF_ALL = (kinds.PLACE_WITHOUT_JOB, kinds.PLACE_OF_ANOTHER_STATE)
_KINDS = {
    "ready": (*_OF_ALL, kinds.PLACE_IN_WRONG_LINE),
    "held": (*_OF_ALL, kinds.PLACE_IN_WRONG_LINE),
    "due": (*_OF_ALL, kinds.PLACE_IN_WRONG_LINE),
    "suspended": _OF_ALL,
    "deadlines": (kinds.DEADLINE_OF_ENDED_JOB,),
}
CHECKS = tuple(StateCheck(name, _KINDS[name], place.look, place.repair) for name, place in PLACES.items())
