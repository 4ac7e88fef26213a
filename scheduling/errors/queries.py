"""Queries of a tenant's errors: groups by fingerprint, and the occurrences of one fingerprint.

Groups count at most the newest ERROR_WINDOW errors of the time range, which one index finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from psycopg.rows import dict_row

from scheduling.models import DeadLetter, Execution, JobError
from tenants.context import require_scope
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.encryption.error_texts import open_error, preload_error_keys

# Occurrences that a list of groups reads; above it only the newest are counted, which the list shows.
ERROR_WINDOW = 10_000
MAX_GROUPS = 200
MAX_OCCURRENCES = 200
# Parts of a time range in which errors are counted.
BUCKETS = 24

_GROUPS = load_sql(__file__)["group_errors"]


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Errors of one tenant with one fingerprint; message, type and job are those of the newest.

    ``trend`` has the number of its errors in each part of the time range.
    """

    tenant_id: UUID
    slug: str
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
    trend: list[int]


@dataclass(frozen=True, slots=True)
class ErrorGroups:
    """Groups of a time range, most frequent first; ``is_capped`` means that older errors were not read."""

    groups: list[ErrorGroup]
    is_capped: bool


@dataclass(frozen=True, slots=True)
class ErrorOccurrence:
    """One error with the traceback of its execution, and the job's dead letter if there is one."""

    error: JobError
    traceback: str
    dead_letter: DeadLetter | None


def group_errors(*, since: datetime, until: datetime, limit: int = MAX_GROUPS) -> ErrorGroups:
    """Return the errors in the current tenant context, grouped by fingerprint."""
    parameters = {
        "tenant_id": require_scope().tenant_id,
        "since": uuid7_floor(since),
        "until": uuid7_floor(until),
        "window": ERROR_WINDOW,
        "groups": limit,
        "from": since.timestamp(),
        "to": until.timestamp(),
        "buckets": BUCKETS,
    }
    rows = fetch_all(_GROUPS, parameters, dict_row, is_planned=True)
    looked_at = max((row.pop("looked_at") for row in rows), default=0)
    preload_error_keys((row["tenant_id"], row["message"]) for row in rows)
    for row in rows:
        row["message"] = open_error(row["message"], tenant_id=row["tenant_id"], owner_id=row["job_id"])
    groups = [ErrorGroup(trend=_trend(row.pop("buckets"), row.pop("counts")), **row) for row in rows]
    return ErrorGroups(groups, is_capped=looked_at >= ERROR_WINDOW)


def _trend(buckets: Sequence[int], counts: Sequence[int]) -> list[int]:
    """Return the number of errors in each part of the range; those beyond an end are in the part at that end."""
    trend = [0] * BUCKETS
    for bucket, count in zip(buckets, counts, strict=True):
        trend[min(max(bucket, 1), BUCKETS) - 1] += count
    return trend


def find_occurrences(fingerprint: str, *, since: datetime, until: datetime) -> QuerySet[JobError]:
    """Return a queryset of the errors with this fingerprint, newest first."""
    errors: QuerySet[JobError] = JobError.objects.filter(
        error_fingerprint=fingerprint, id__gte=uuid7_floor(since), id__lt=uuid7_floor(until)
    )
    return errors.order_by("-id")


def describe_occurrences(errors: list[JobError], *, with_traceback: bool) -> list[ErrorOccurrence]:
    """Return the errors with their tracebacks (if asked for) and dead letters, in at most two queries."""
    tracebacks: dict[UUID, str] = {}
    if with_traceback:
        ids = [error.execution_id for error in errors if error.execution_id]
        rows = Execution.objects.filter(id__in=ids).only("tenant_id", "job_id", "traceback")
        tracebacks = {row.pk: row.traceback for row in rows}
    letters = {letter.job_id: letter for letter in DeadLetter.objects.filter(job_id__in=[e.job_id for e in errors])}
    return [
        ErrorOccurrence(
            error=error,
            traceback=tracebacks.get(error.execution_id, "") if error.execution_id else "",
            dead_letter=letters.get(error.job_id),
        )
        for error in errors
    ]
