"""Requeue of one dead letter; a bulk operation requeues many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from scheduling.jobs.dead_letters.queries import get_dead_letter
from scheduling.jobs.retries import retry_jobs
from scheduling.models import Job


def requeue_dead_letter(*, dead_letter_id: UUID, reason: str = "", payload: Mapping[str, Any] | None = None) -> Job:
    """Run the dead letter's job again as a new job linked to it, once for each letter; return the new job.

    ``payload`` replaces the old payload if given. Raise DeadLetterNotFoundError, InvalidTransitionError if the letter
    was already requeued, and the error of `submit_jobs` if the new job is refused.
    """
    letter = get_dead_letter(dead_letter_id)
    payloads = {} if payload is None else {letter.job_id: payload}
    facts = {"payloads_edited": len(payloads)} if payloads else {}
    bulk = retry_jobs(job_ids=[letter.job_id], reason=reason, payloads=payloads, facts=facts)
    if letter.job_id in bulk.refused:
        raise bulk.refused[letter.job_id]
    return bulk.replayed[letter.job_id]
