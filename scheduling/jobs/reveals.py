"""Reads of payloads and results in clear text; each read is audited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from scheduling.jobs.queries import get_job
from scheduling.models import Job
from tenants.audit.service import record_audit
from tenants.exceptions import ReasonRequiredError


@dataclass(frozen=True, slots=True)
class RevealedJob:
    """A job with its payload, its checkpoint and its result in clear text."""

    job: Job
    payload: Any
    checkpoint: Any
    result: Any


def reveal_payload(*, job_id: UUID, reason: str) -> RevealedJob:
    """Return a job with its payload, checkpoint and result in clear text, and audit that.

    Raise `ReasonRequiredError` without a reason.
    """
    if not reason.strip():
        raise ReasonRequiredError("Give a reason for reading the payload.")
    job = get_job(job_id)
    record_audit(action="job.payload_revealed", target=job, reason=reason.strip())
    return RevealedJob(job=job, payload=job.payload, checkpoint=job.checkpoint, result=job.result)
