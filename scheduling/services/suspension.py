"""Suspending one waiting job, and letting it go on. Queues, kinds and pools have `pauses`, tenants their own app."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.db import transaction

from scheduling.exceptions import InvalidTransitionError, JobNotFoundError
from scheduling.lifecycle import JobState
from scheduling.models import Job
from scheduling.services.waiting import LOOKS, make_ready, take_out
from scheduling.services.wakes import wake_on_commit
from tenants.services.audit import record_audit


@transaction.atomic
def suspend_job(*, job_id: UUID, reason: str = "") -> Job:
    """Keep a waiting job of the current scope from running until a person resumes it."""
    job = _find(job_id)
    data = {"reason": reason}
    if not _is_done(lambda: take_out([job_id], state=JobState.SUSPENDED, event="job.suspended", data=data)):
        raise InvalidTransitionError(f"A job that is {job.state} cannot be suspended.")
    return _audited(job, "job.suspended", reason)


@transaction.atomic
def resume_job(*, job_id: UUID, reason: str = "") -> Job:
    """Make a suspended job of the current scope available."""
    job = _find(job_id)
    states, data = [JobState.SUSPENDED], {"reason": reason}
    if not _is_done(lambda: make_ready([job_id], from_states=states, event="job.resumed", data=data)):
        raise InvalidTransitionError(f"A job that is {job.state} cannot be resumed.")
    wake_on_commit()
    return _audited(job, "job.resumed", reason)


def _is_done(act: Callable[[], set[UUID]]) -> bool:
    """Whether one of a few tries did it: a job that changes its place between two statements is found on the next."""
    return any(act() for _ in range(LOOKS))


def _find(job_id: UUID) -> Job:
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise JobNotFoundError
    return job


def _audited(job: Job, action: str, reason: str) -> Job:
    before = job.state
    job.refresh_from_db()
    record_audit(action=action, target=job, before={"state": before}, after={"state": job.state}, reason=reason)
    return job
