"""Reads of batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Max, TextField, Value
from django.db.models.functions import Cast, Concat

from scheduling.exceptions import BatchNotFoundError
from scheduling.jobs.lifecycle import DEAD_STATES, JobState
from scheduling.models import Batch, Job
from tenants.database.reads import first_or_raise
from tenants.encryption.error_texts import open_error

ERROR_GROUPS = 20
# The id of a job and its stored message, which may be sealed: of several jobs, the greatest is that of the newest.
_NEWEST = Concat(Cast("id", TextField()), Value(" "), Cast("error_message", TextField()), output_field=TextField())


@dataclass(frozen=True, slots=True)
class BatchError:
    """One cause of errors among the jobs of a batch: the message of one job, and the number of jobs."""

    error_type: str
    fingerprint: str
    message: str
    jobs: int


def get_batch(batch_id: UUID) -> Batch:
    """Return one batch; raise `BatchNotFoundError`, also for another tenant's."""
    return first_or_raise(Batch.objects.filter(id=batch_id), BatchNotFoundError)


def count_states(batch: Batch) -> dict[str, int]:
    """Return the number of the batch's jobs by state; states without jobs are left out."""
    counts = dict(Job.objects.filter(batch_id=batch.id).order_by().values_list("state").annotate(jobs=Count("id")))
    return {state.value: counts[state.value] for state in JobState if state.value in counts}


def group_errors(batch: Batch) -> list[BatchError]:
    """Return up to ERROR_GROUPS errors of the batch's discarded and quarantined jobs, the most frequent first."""
    dead = Job.objects.filter(batch_id=batch.id, state__in=sorted(DEAD_STATES)).order_by()
    groups = (
        dead.values("error_type", "error_fingerprint")
        .annotate(jobs=Count("id"), newest=Max(_NEWEST))
        .order_by("-jobs", "error_type", "error_fingerprint")[:ERROR_GROUPS]
    )
    return [
        BatchError(group["error_type"], group["error_fingerprint"], _message_of(batch, group["newest"]), group["jobs"])
        for group in groups
    ]


def _message_of(batch: Batch, newest: str) -> str:
    """Return the message of the newest job of a group, from its id and its stored message."""
    job_id, _, stored = newest.partition(" ")
    return open_error(stored, tenant_id=batch.tenant_id, owner_id=UUID(job_id))


def awaited_batch(job_id: UUID) -> Batch | None:
    """Return the unfinished batch of children that a job waits for, or None."""
    batch: Batch | None = Batch.objects.filter(waiting_job_id=job_id, ended_at=None).order_by("-id").first()
    return batch


def children_of(job_id: UUID) -> Sequence[Job]:
    """Return the children that a job last waited for, in order of submission."""
    # By way of the children: an index leads from a job to them, while only open batches are indexed by their waiting
    # job.
    last = Job.objects.filter(parent_id=job_id, batch__waiting_job_id=job_id).order_by("-id").values("batch_id")[:1]
    return list(Job.objects.filter(parent_id=job_id, batch_id__in=last).order_by("id"))
