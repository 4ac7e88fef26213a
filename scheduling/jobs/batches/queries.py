"""Reads of batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Max

from scheduling.exceptions import BatchNotFoundError
from scheduling.jobs.lifecycle import DEAD_STATES, JobState
from scheduling.models import Batch, Job

ERROR_GROUPS = 20


@dataclass(frozen=True, slots=True)
class BatchError:
    """What some jobs of a batch have failed by: errors of one cause, with the text of one of them."""

    error_type: str
    fingerprint: str
    message: str
    jobs: int


def get_batch(batch_id: UUID) -> Batch:
    """One batch; `BatchNotFoundError` for another tenant's as for none."""
    batch: Batch | None = Batch.objects.filter(id=batch_id).first()
    if batch is None:
        raise BatchNotFoundError
    return batch


def count_states(batch: Batch) -> dict[str, int]:
    """How many of the batch's own jobs are in each state, states without any left out."""
    counts = dict(Job.objects.filter(batch_id=batch.id).order_by().values_list("state").annotate(jobs=Count("id")))
    return {state.value: counts[state.value] for state in JobState if state.value in counts}


def group_errors(batch: Batch) -> list[BatchError]:
    """What the batch's dead jobs have failed by, the most frequent first, at most ERROR_GROUPS."""
    dead = Job.objects.filter(batch_id=batch.id, state__in=sorted(DEAD_STATES)).order_by()
    groups = (
        dead.values("error_type", "error_fingerprint")
        .annotate(jobs=Count("id"), message=Max("error_message"))
        .order_by("-jobs", "error_type", "error_fingerprint")[:ERROR_GROUPS]
    )
    return [
        BatchError(group["error_type"], group["error_fingerprint"], group["message"], group["jobs"]) for group in groups
    ]


def awaited_batch(job_id: UUID) -> Batch | None:
    """The batch of children that a job waits for now, if it does."""
    batch: Batch | None = Batch.objects.filter(waiting_job_id=job_id, ended_at=None).order_by("-id").first()
    return batch


def children_of(job_id: UUID) -> Sequence[Job]:
    """The children that a job has last waited for, in the order of their submission."""
    # By way of the children: an index leads from a job to them, and only an open batch is found by who waits for it.
    last = Job.objects.filter(parent_id=job_id, batch__waiting_job_id=job_id).order_by("-id").values("batch_id")[:1]
    return list(Job.objects.filter(parent_id=job_id, batch_id__in=last).order_by("id"))
