"""Pausing and going on: of a queue, of a kind, of one waiting job. Tenants are paused in their own app."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from scheduling.exceptions import InvalidTransitionError, JobNotFoundError
from scheduling.lifecycle import JobState
from scheduling.models import Job, KindPause, Queue
from scheduling.services.waiting import make_ready, take_out
from scheduling.services.wakes import wake_on_commit
from tenants.context import all_tenants
from tenants.services.audit import AuditTarget, record_audit


def pause_queue(*, queue: Queue, reason: str = "") -> None:
    """Dispatch nothing from the queue until it is resumed; what runs goes on."""
    _set_queue_pause(queue, is_paused=True, reason=reason)


def resume_queue(*, queue: Queue, reason: str = "") -> None:
    """Dispatch from the queue again."""
    _set_queue_pause(queue, is_paused=False, reason=reason)


def pause_kind(*, kind: str, reason: str = "") -> None:
    """Dispatch no job of the kind until it is resumed; the tick sets those aside that it meets."""
    with all_tenants():
        _, was_made = KindPause.objects.get_or_create(kind=kind, defaults={"reason": reason})
        if was_made:
            record_audit(action="kind.paused", target=AuditTarget("scheduling.kind", kind), reason=reason)


def resume_kind(*, kind: str, reason: str = "") -> None:
    """Let jobs of the kind run again; the next ticks put them back in their old order."""
    with all_tenants():
        deleted, _ = KindPause.objects.filter(kind=kind).delete()
        if deleted:
            record_audit(action="kind.resumed", target=AuditTarget("scheduling.kind", kind), reason=reason)
            wake_on_commit()


@transaction.atomic
def suspend_job(*, job_id: UUID, reason: str = "") -> Job:
    """Keep a waiting job of the current scope from running until a person resumes it."""
    job = _find(job_id)
    if not take_out([job_id], state=JobState.SUSPENDED, event="job.suspended", data={"reason": reason}):
        raise InvalidTransitionError(f"A job that is {job.state} cannot be suspended.")
    return _audited(job, "job.suspended", reason)


@transaction.atomic
def resume_job(*, job_id: UUID, reason: str = "") -> Job:
    """Make a suspended job of the current scope available."""
    job = _find(job_id)
    if not make_ready([job_id], from_states=[JobState.SUSPENDED], event="job.resumed", data={"reason": reason}):
        raise InvalidTransitionError(f"A job that is {job.state} cannot be resumed.")
    wake_on_commit()
    return _audited(job, "job.resumed", reason)


def _set_queue_pause(queue: Queue, *, is_paused: bool, reason: str) -> None:
    with all_tenants():
        changed = Queue.objects.filter(pk=queue.pk, is_paused=not is_paused).update(
            is_paused=is_paused, pause_reason=reason if is_paused else ""
        )
        if changed:
            record_audit(
                action="queue.paused" if is_paused else "queue.resumed",
                target=queue,
                before={"is_paused": not is_paused},
                after={"is_paused": is_paused},
                reason=reason,
            )
            wake_on_commit()
    queue.refresh_from_db()


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
