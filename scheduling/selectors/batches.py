"""Reads of batches."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Count

from scheduling.exceptions import BatchNotFoundError
from scheduling.lifecycle import JobState
from scheduling.models import Batch, Job


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
