"""Suspension and resumption of one waiting job, and waking of jobs that suspended themselves.

Queues, kinds and pools are stopped with `pauses`, tenants in their own app.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from scheduling.controls.exceptions import ControlFailedError
from scheduling.controls.holds import held_by
from scheduling.controls.models import ControlHold
from scheduling.dispatch.broker import wake_on_commit
from scheduling.exceptions import InvalidTransitionError, JobNotFoundError
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.waiting_jobs import LOOKS, end_waiting, make_ready
from scheduling.models import Job, JobSuspended
from tenants.audit.service import record_audit
from tenants.database.prepared import execute
from tenants.database.reads import first_or_raise
from tenants.database.sql import load_sql
from tenants.translation import LocalizableText

WOKEN = "job.woken"
_REQUEST_WAKE = load_sql(__file__)["request_wake"]


@transaction.atomic
def suspend_job(*, job_id: UUID, reason: str = "") -> Job:
    """Suspend a waiting job of the current tenant context until a person resumes it.

    Raise JobNotFoundError, and InvalidTransitionError for a job that does not wait.
    """
    job = _find(job_id)
    data = {"reason": reason}
    if not _is_done(lambda: end_waiting([job_id], state=JobState.SUSPENDED, event="job.suspended", data=data)):
        raise InvalidTransitionError(
            "A job that is %(state)s cannot be suspended.", {"state": LocalizableText(job.state)}
        )
    return _audited(job, "job.suspended", reason)


@transaction.atomic
def resume_job(*, job_id: UUID, reason: str = "") -> Job:
    """Make a suspended job of the current tenant context available.

    Raise JobNotFoundError, InvalidTransitionError for a job that is not suspended, and ControlFailedError for one that
    controls hold.
    """
    job = _find(job_id)
    if job.state == JobState.SUSPENDED and held_by(job_id):
        raise ControlFailedError
    states, data = [JobState.SUSPENDED], {"reason": reason}
    if not _is_done(lambda: make_ready([job_id], from_states=states, event="job.resumed", data=data)):
        raise InvalidTransitionError(
            "A job that is %(state)s cannot be resumed.", {"state": LocalizableText(job.state)}
        )
    wake_on_commit()
    return _audited(job, "job.resumed", reason)


def wake_jobs(*, job_ids: Sequence[UUID]) -> set[UUID]:
    """Make jobs available that suspended themselves, in the caller's transaction; return their ids.

    A job that still runs is marked, so that it is not suspended afterwards. Jobs that a person suspended stay so. The
    caller writes the audit entry.
    """
    execute(_REQUEST_WAKE, {"job_ids": list(job_ids)})
    # Afterwards: a job that was settled meanwhile is suspended by now.
    own = JobSuspended.objects.filter(job_id__in=job_ids, is_own=True).order_by("job_id").select_for_update(no_key=True)
    woken = make_ready(list(own.values_list("job_id", flat=True)), from_states=[JobState.SUSPENDED], event=WOKEN)
    wake_on_commit()
    return woken


def wake_due(limit: int) -> int:
    """Make up to ``limit`` jobs available whose `wake_at` has passed, and return how many.

    The sweep calls it, which one process runs at a time.
    """
    due = JobSuspended.objects.filter(is_own=True, wake_at__lte=Now()).order_by("wake_at")
    ids = list(due.select_for_update(no_key=True, skip_locked=True).values_list("job_id", flat=True)[:limit])
    woken = make_ready(ids, from_states=[JobState.SUSPENDED], event=WOKEN, data={"reason": "time"})
    if woken:
        # A maintenance window that held it is over.
        ControlHold.objects.filter(job_id__in=woken).update(failures=[])
        wake_on_commit()
    return len(woken)


def _is_done(act: Callable[[], set[UUID]]) -> bool:
    """Return whether one of a few attempts succeeded: a job that moves between two statements is found on the next."""
    return any(act() for _ in range(LOOKS))


def _find(job_id: UUID) -> Job:
    return first_or_raise(Job.objects.filter(pk=job_id), JobNotFoundError)


def _audited(job: Job, action: str, reason: str) -> Job:
    before = job.state
    job = Job.objects.get(pk=job.pk)  # read again, not refreshed: a refresh would decrypt
    record_audit(action=action, target=job, before={"state": before}, after={"state": job.state}, reason=reason)
    return job
