"""Places where jobs wait against the jobs that wait in them, and putting jobs into the places of their states."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_noop

from scheduling.lifecycle import TERMINAL_STATES, JobState
from scheduling.models import Job, JobEvent
from scheduling.services.consistency.registry import FaultKind, Look, Piece, RepairOrder, StateCheck
from scheduling.services.consistency.walk import Table
from scheduling.services.events import actor_label
from scheduling.services.lines import line_ids
from scheduling.services.wakes import wake_tenants
from tenants.clock import read_clock
from tenants.context import current_actor, tenant_context
from tenants.models import Tenant

PLACE_WITHOUT_JOB = FaultKind(
    "place_without_job",
    gettext_noop("A place among what waits belongs to no job."),
    "Removes the place; nothing could run from it.",
)
PLACE_OF_ANOTHER_STATE = FaultKind(
    "place_of_another_state",
    gettext_noop(
        "A job stands in a place that is not one of its state: an ended one still waits, one that runs is"
        " ready as well."
    ),
    "Removes the place; the job keeps its state, and the place of its state.",
)
PLACE_IN_WRONG_LINE = FaultKind(
    "place_in_wrong_line",
    gettext_noop("A job waits in the line of another tenant, queue, key or rank than its own."),
    "Moves it to its own line.",
)
DEADLINE_OF_ENDED_JOB = FaultKind(
    "deadline_of_ended_job", gettext_noop("A deadline is kept for a job that has ended."), "Removes it."
)
REPAIRED_EVENT = "job.repaired"
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
# The place is locked before the job, as everywhere; then both are compared again.
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
_LINE = """scheduling_job j JOIN scheduling_schedulingentity e
    ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key"""
_PUT_READY = f"""
INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone)
SELECT j.tenant_id, e.id, j.rank, j.id, j.kind, j.payload_bytes, j.used_us, j.travels_alone FROM {_LINE}
WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.state = 'available'
    AND NOT EXISTS (SELECT FROM scheduling_job_held h WHERE h.job_id = j.id)
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants
_PUT_DUE = f"""
INSERT INTO scheduling_job_due (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, due_at)
SELECT j.tenant_id, e.id, j.rank, j.id, j.kind, j.payload_bytes, j.used_us, greatest(j.run_at, now()) FROM {_LINE}
WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.state IN ('scheduled', 'retryable')
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants
_PUT_SUSPENDED = """
INSERT INTO scheduling_job_suspended (job_id, tenant_id)
SELECT j.id, j.tenant_id FROM scheduling_job j WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.state = 'suspended'
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A table of places, and the states whose jobs stand in it."""

    table: Table
    states: Sequence[str]
    statement: str

    def look(self, piece: Piece) -> Look:
        """Find places without a job, of another state or in a wrong line."""
        statement = self.statement.replace("<table>", self.table.name)
        return self.table.look(statement, piece, parameters={"states": list(self.states)})

    def repair(self, order: RepairOrder) -> None:
        """Remove wrong places; move a job of a wrong line to its own."""
        is_in_wrong_line = order.code == PLACE_IN_WRONG_LINE.code
        condition, values = self.table.rows_of(order.piece)
        values |= {"job_ids": order.subjects, "states": list(self.states)}
        with connection.cursor() as cursor:
            for statement in (_LOCK_PLACES, _LOCK_JOBS, _TAKE_OUT_OF_LINE if is_in_wrong_line else _REMOVE):
                filled = statement.replace("<table>", self.table.name).replace("<piece>", condition)
                cursor.execute(filled, values)
        if is_in_wrong_line and order.tenant_id is not None:
            put_where_they_wait(order.tenant_id, order.subjects)


def put_where_they_wait(tenant_id: UUID, job_ids: Sequence[str]) -> None:
    """Put a tenant's jobs, whose rows are locked, into the places of their states, and have a tick look at them.

    Counters are left as they are: they may count the jobs already, and are compared once everything is in its place.
    """
    with tenant_context(tenant_id):
        tenant = Tenant.objects.get(pk=tenant_id)
        line_ids(tenant, set(Job.objects.filter(pk__in=job_ids).values_list("queue_id", "fair_key")))
        with connection.cursor() as cursor:
            for statement in (_PUT_READY, _PUT_DUE, _PUT_SUSPENDED):
                cursor.execute(statement, {"job_ids": list(job_ids)})
        wake_tenants(tenant_ids=[tenant_id])


def append_repair_events(job_ids: Collection[UUID | str], *, code: str) -> None:
    """Append an event to each of the jobs, in the state that it has by now."""
    actor, at = current_actor(), read_clock()
    JobEvent.objects.bulk_create(
        JobEvent(
            tenant_id=job.tenant_id,
            job_id=job.pk,
            at=at,
            name=REPAIRED_EVENT,
            state=job.state,
            actor=actor_label(actor),
            request_id=actor.request_id,
            data={"fault": code},
        )
        for job in Job.objects.filter(pk__in=job_ids).only("id", "tenant_id", "state")
    )


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
_OF_ALL = (PLACE_WITHOUT_JOB, PLACE_OF_ANOTHER_STATE)
_KINDS = {
    "ready": (*_OF_ALL, PLACE_IN_WRONG_LINE),
    "held": (*_OF_ALL, PLACE_IN_WRONG_LINE),
    "due": (*_OF_ALL, PLACE_IN_WRONG_LINE),
    "suspended": _OF_ALL,
    "deadlines": (DEADLINE_OF_ENDED_JOB,),
}
CHECKS = tuple(StateCheck(name, _KINDS[name], place.look, place.repair) for name, place in PLACES.items())
