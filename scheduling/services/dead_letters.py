"""Dead letters: what will not run again by itself, put back by a person."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from scheduling.exceptions import DeadLetterNotFoundError
from scheduling.models import DeadLetter, Job
from scheduling.services.retries import BulkRetry, retry_job, retry_jobs


def requeue_dead_letter(*, dead_letter_id: UUID, reason: str = "") -> Job:
    """Run the dead letter's job anew as a new job linked to it; once for each letter.

    Raises DeadLetterNotFoundError, InvalidTransitionError when it was requeued already, and
    whatever submission refuses.
    """
    letter = DeadLetter.objects.filter(pk=dead_letter_id).first()
    if letter is None:
        raise DeadLetterNotFoundError
    return retry_job(job_id=letter.job_id, reason=reason).job


def requeue_dead_letters(*, dead_letter_ids: Sequence[UUID], reason: str = "") -> BulkRetry:
    """The same for many, with one audit entry for each tenant; keyed by the old jobs' ids."""
    job_ids = DeadLetter.objects.filter(pk__in=dead_letter_ids).values_list("job_id", flat=True)
    return retry_jobs(job_ids=list(job_ids), reason=reason)
