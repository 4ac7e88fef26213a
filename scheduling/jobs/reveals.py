"""Payloads and results in the clear: looking at them is an act, and audited."""

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
    """What a job was given, what it has kept, and what came out."""

    job: Job
    payload: Any
    checkpoint: Any
    result: Any


def reveal_payload(*, job_id: UUID, reason: str) -> RevealedJob:
    """A job's payload, checkpoint and result, for somebody who says why; `ReasonRequiredError` else."""
    if not reason.strip():
        raise ReasonRequiredError("Say why you look at the payload.")
    job = get_job(job_id)
    record_audit(action="job.payload_revealed", target=job, reason=reason.strip())
    return RevealedJob(job=job, payload=job.payload, checkpoint=job.checkpoint, result=job.result)
