"""Requeue of one dead letter; a bulk operation requeues many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from scheduling.jobs.dead_letters.queries import get_dead_letter
from scheduling.jobs.retries import retry_jobs
from scheduling.models import Job


def requeue_dead_letter(*, dead_letter_id: UUID, reason: str = "", payload: Mapping[str, Any] | None = None) -> Job:
    """Requeue the dead letter's job as a new job linked to it, with ``payload`` if given; once for each letter.

    Raise DeadLetterNotFoundError, InvalidTransitionError if it was already requeued, and any error of a refused
    submission.
    """
    letter = get_dead_letter(dead_letter_id)
    payloads = {} if payload is None else {letter.job_id: payload}
    facts = {"payloads_edited": len(payloads)} if payloads else {}
    bulk = retry_jobs(job_ids=[letter.job_id], reason=reason, payloads=payloads, facts=facts)
    if letter.job_id in bulk.refused:
        raise bulk.refused[letter.job_id]
    return bulk.replayed[letter.job_id]
