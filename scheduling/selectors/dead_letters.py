"""Reads of dead letters: one filter, one list, one detail."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from scheduling.exceptions import DeadLetterNotFoundError
from scheduling.filters.rows import made_between
from scheduling.fingerprints import fingerprint_of
from scheduling.models import DeadLetter, Job, Worker
from scheduling.selectors.history import ExecutionRecord, ended_executions_of
from scheduling.selectors.jobs import COUNT_LIMIT, CappedCount
from tenants.models import Tenant

# Attempts that a letter shows; a job that was handed out more often has them all on its own page.
ATTEMPT_LIMIT = 50


@dataclass(frozen=True, slots=True)
class Attempt:
    """One hand-out of the job that died: when, by which worker, how it ended, of what."""

    execution: ExecutionRecord
    worker: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class DeadLetterDetail:
    """A dead letter with its job and the newest of its attempts, the last one first."""

    letter: DeadLetter
    job: Job
    attempts: list[Attempt]
    has_more_attempts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters are meant; fields narrow each other, values in one field are alternatives.

    Times are aware, ``created_after`` inclusive, ``created_before`` exclusive. ``fingerprint`` is a whole one, found by
    an index; ``error`` is one too, or a part of the error's type. ``newest_id`` freezes the set. ``tenant_slug``
    narrows what is seen behind the door.
    """

    kinds: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    fingerprint: str | None = None
    error: str | None = None
    is_requeued: bool | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    newest_id: UUID | None = None
    tenant_slug: str | None = None


def find_dead_letters(letter_filter: DeadLetterFilter) -> QuerySet[DeadLetter]:
    """The dead letters of the scope of the moment that match, newest first."""
    span = made_between(letter_filter.created_after, letter_filter.created_before)
    letters: QuerySet[DeadLetter] = DeadLetter.objects.order_by("-id").filter(span)
    if letter_filter.kinds:
        letters = letters.filter(kind__in=letter_filter.kinds)
    if letter_filter.reasons:
        letters = letters.filter(reason__in=letter_filter.reasons)
    if letter_filter.fingerprint is not None:
        letters = letters.filter(error_fingerprint=letter_filter.fingerprint)
    if letter_filter.tenant_slug is not None:
        # By its key, which leads along an index.
        letters = letters.filter(tenant_id__in=Tenant.objects.filter(slug=letter_filter.tenant_slug).values("pk"))
    if letter_filter.error:
        letters = letters.filter(
            Q(error_fingerprint=letter_filter.error) | Q(error_type__icontains=letter_filter.error)
        )
    if letter_filter.is_requeued is not None:
        letters = letters.filter(requeued_at__isnull=not letter_filter.is_requeued)
    if letter_filter.newest_id is not None:
        letters = letters.filter(id__lte=letter_filter.newest_id)
    return letters


def walked_dead_letters(letter_filter: DeadLetterFilter) -> QuerySet[DeadLetter] | None:
    """All letters among which a filter looks for its own one after another; None if an index finds them."""
    by_id = replace(letter_filter, kinds=(), reasons=(), error=None, is_requeued=None)
    return None if by_id == letter_filter else find_dead_letters(by_id)


def next_dead_letter_ids(letter_filter: DeadLetterFilter, *, after: UUID | None, limit: int) -> list[UUID]:
    """The ids of the next ``limit`` matching dead letters, oldest first: one chunk of a bulk act."""
    letters = find_dead_letters(letter_filter).order_by("id")
    if after is not None:
        letters = letters.filter(id__gt=after)
    return list(letters.values_list("id", flat=True)[:limit])


def count_dead_letters(letter_filter: DeadLetterFilter, *, limit: int = COUNT_LIMIT) -> CappedCount:
    """How many dead letters match, looking at no more than ``limit`` + 1 of them."""
    counted = find_dead_letters(letter_filter).order_by().values("id")[: limit + 1].count()
    return CappedCount(min(counted, limit), counted > limit)


def get_dead_letter(dead_letter_id: UUID) -> DeadLetter:
    """One dead letter; `DeadLetterNotFoundError` for another tenant's as for none."""
    letter = DeadLetter.objects.filter(id=dead_letter_id).first()
    if letter is None:
        raise DeadLetterNotFoundError
    return letter


def describe_dead_letter(letter: DeadLetter) -> DeadLetterDetail:
    """The letter with what led to it, in three statements."""
    job = Job.objects.select_related("queue", "tenant__plan").get(pk=letter.job_id)
    rows = list(ended_executions_of(job).defer("traceback")[: ATTEMPT_LIMIT + 1])
    names = {worker.pk: str(worker) for worker in Worker.objects.filter(pk__in={row.worker_id for row in rows})}
    attempts = [
        Attempt(
            execution=ExecutionRecord.of_ended(row),
            worker=names.get(row.worker_id, "") if row.worker_id else "",
            fingerprint=fingerprint_of(row.error_type, row.error_message) if row.error_type else "",
        )
        for row in rows[:ATTEMPT_LIMIT]
    ]
    return DeadLetterDetail(letter, job, attempts, has_more_attempts=len(rows) > ATTEMPT_LIMIT)
