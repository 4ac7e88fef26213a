"""Reads of dead letters: the filtered list, one letter, and its details."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from scheduling.errors.fingerprints import fingerprint_of
from scheduling.exceptions import DeadLetterNotFoundError
from scheduling.jobs.filters import JobFilter
from scheduling.jobs.history import ExecutionRecord, ended_executions_of
from scheduling.models import DeadLetter, Execution, Job, Worker
from tenants.database.reads import first_or_raise
from tenants.encryption.error_texts import is_readable

# The attempts shown with a letter; a job with more has them all on its own page.
ATTEMPT_LIMIT = 50


@dataclass(frozen=True, slots=True)
class Attempt:
    """One dispatch of a dead letter's job, with the worker's name and the fingerprint of its error."""

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


def find_dead_letters(letter_filter: JobFilter) -> QuerySet[DeadLetter]:
    """Return a queryset of the matching dead letters in the current tenant context, newest first."""
    return letter_filter.apply_to_letters(DeadLetter.objects.order_by("-id"), now=timezone.now())


def scan_dead_letters(letter_filter: JobFilter) -> QuerySet[DeadLetter] | None:
    """Return the queryset whose rows a list checks one by one for the filter; None if an index finds the matches."""
    bounds = letter_filter.letter_bounds
    return None if letter_filter.is_keyed or bounds == letter_filter else find_dead_letters(bounds)


def get_dead_letter(dead_letter_id: UUID) -> DeadLetter:
    """Return one dead letter; raise `DeadLetterNotFoundError`, also for another tenant's."""
    return first_or_raise(DeadLetter.objects.filter(id=dead_letter_id), DeadLetterNotFoundError)


def describe_dead_letter(letter: DeadLetter) -> DeadLetterDetail:
    """Return the letter with its job and its newest attempts, in three statements."""
    job = Job.objects.select_related("queue", "tenant__plan").get(pk=letter.job_id)
    rows = list(ended_executions_of(job).defer("traceback")[: ATTEMPT_LIMIT + 1])
    names = {worker.pk: str(worker) for worker in Worker.objects.filter(pk__in={row.worker_id for row in rows})}
    attempts = [
        Attempt(
            execution=ExecutionRecord.of_ended(row),
            worker=names.get(row.worker_id, "") if row.worker_id else "",
            fingerprint=_fingerprint_of(row),
        )
        for row in rows[:ATTEMPT_LIMIT]
    ]
    return DeadLetterDetail(letter, job, attempts, has_more_attempts=len(rows) > ATTEMPT_LIMIT)


def _fingerprint_of(row: Execution) -> str:
    """Return the fingerprint of an attempt's error; empty without an error, or if its text cannot be decrypted."""
    is_known = bool(row.error_type) and is_readable(row.error_message)
    return fingerprint_of(row.error_type, row.error_message) if is_known else ""
