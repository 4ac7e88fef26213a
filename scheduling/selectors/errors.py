"""Reads of a tenant's errors: grouped by fingerprint, and the occurrences of one.

What a group counts is bounded: the newest ERROR_WINDOW occurrences of the range, along one index.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from scheduling.models import DeadLetter, Execution, JobError
from tenants.context import require_scope
from tenants.ids import uuid7_floor

# Occurrences that a list of groups looks at; a tenant with more sees the newest, and is told so.
ERROR_WINDOW = 10_000
MAX_GROUPS = 200
MAX_OCCURRENCES = 200

_GROUPS = """
    WITH recent AS (
        SELECT id, tenant_id, job_id, kind, error_type, error_message, error_fingerprint, at
        FROM scheduling_joberror
        WHERE id >= %(since)s AND id < %(until)s AND (%(tenant_id)s::uuid IS NULL OR tenant_id = %(tenant_id)s)
        ORDER BY id DESC LIMIT %(window)s
    )
    SELECT g.*, sum(g.count) OVER () AS looked_at, l.kind, l.error_type, l.error_message, l.job_id
    FROM (
        SELECT tenant_id, error_fingerprint, count(*) AS count, min(at) AS first_at, max(at) AS last_at,
            (array_agg(id ORDER BY id DESC))[1] AS last_id, array_agg(DISTINCT kind) AS kinds
        FROM recent GROUP BY tenant_id, error_fingerprint
    ) g JOIN recent l ON l.id = g.last_id
    ORDER BY g.count DESC, g.last_id DESC LIMIT %(groups)s
"""


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Errors of one tenant that differ in details only; message, type and job are the newest one's."""

    tenant_id: UUID
    fingerprint: str
    count: int
    first_at: datetime
    last_at: datetime
    last_id: UUID
    kinds: list[str]
    kind: str
    type: str
    message: str
    job_id: UUID


@dataclass(frozen=True, slots=True)
class ErrorGroups:
    """The groups of a range, most frequent first; ``is_capped``: older occurrences were not looked at."""

    groups: list[ErrorGroup]
    is_capped: bool


@dataclass(frozen=True, slots=True)
class ErrorOccurrence:
    """One error with the traceback of its execution and the dead letter that can be requeued."""

    error: JobError
    traceback: str
    dead_letter: DeadLetter | None


def group_errors(*, since: datetime, until: datetime) -> ErrorGroups:
    """The errors of the scope of the moment, grouped."""
    parameters = {
        "tenant_id": require_scope().tenant_id,
        "since": uuid7_floor(since),
        "until": uuid7_floor(until),
        "window": ERROR_WINDOW,
        "groups": MAX_GROUPS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS, parameters)
        rows = cursor.fetchall()
    groups = [ErrorGroup(*row[:7], *row[8:]) for row in rows]
    return ErrorGroups(groups, is_capped=bool(rows) and rows[0][7] >= ERROR_WINDOW)


def find_occurrences(fingerprint: str, *, since: datetime, until: datetime) -> QuerySet[JobError]:
    """The errors of a fingerprint, newest first."""
    errors: QuerySet[JobError] = JobError.objects.filter(
        error_fingerprint=fingerprint, id__gte=uuid7_floor(since), id__lt=uuid7_floor(until)
    )
    return errors.order_by("-id")


def describe_occurrences(errors: list[JobError], *, with_traceback: bool) -> list[ErrorOccurrence]:
    """The errors with what belongs to them, in two statements."""
    tracebacks: dict[UUID, str] = {}
    if with_traceback:
        ids = [error.execution_id for error in errors if error.execution_id]
        tracebacks = dict(Execution.objects.filter(id__in=ids).values_list("id", "traceback"))
    letters = {letter.job_id: letter for letter in DeadLetter.objects.filter(job_id__in=[e.job_id for e in errors])}
    return [
        ErrorOccurrence(
            error=error,
            traceback=tracebacks.get(error.execution_id, "") if error.execution_id else "",
            dead_letter=letters.get(error.job_id),
        )
        for error in errors
    ]
