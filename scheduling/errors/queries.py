"""Reads of a tenant's errors: grouped by fingerprint, and the occurrences of one.

What a group counts is bounded: the newest ERROR_WINDOW occurrences of the range, along one index.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from psycopg.rows import dict_row

from scheduling.models import DeadLetter, Execution, JobError
from tenants.context import require_scope
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql

# Occurrences that a list of groups looks at; a tenant with more sees the newest, and is told so.
ERROR_WINDOW = 10_000
MAX_GROUPS = 200
MAX_OCCURRENCES = 200

_GROUPS = load_sql(__file__)["group_errors"]


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
    with planned_cursor(dict_row) as cursor:
        cursor.execute(_GROUPS, parameters)
        rows = cursor.fetchall()
    looked_at = max((row.pop("looked_at") for row in rows), default=0)
    return ErrorGroups([ErrorGroup(**row) for row in rows], is_capped=looked_at >= ERROR_WINDOW)


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
