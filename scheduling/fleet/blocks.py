"""The last blocks of a worker's event loops, with their jobs, in the worker's row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from scheduling.models import Job, Worker
from tenants.context import all_tenants

MOST_BLOCKS = 20


@dataclass(frozen=True, slots=True)
class LoopBlock:
    """A step of a job that blocked the event loop; ``at`` is its end by the worker's clock."""

    job: Job
    milliseconds: int
    at: datetime


def new_block(job_id: UUID, seconds: float) -> Mapping[str, Any]:
    """Return a block of an event loop that ends now, as it is stored."""
    return {"job": str(job_id), "milliseconds": round(seconds * 1_000), "at": timezone.now().isoformat()}


def note_blocks(worker_id: UUID, blocks: Sequence[Mapping[str, Any]]) -> None:
    """Store blocks of a worker's event loops, oldest first; the worker's row keeps the last MOST_BLOCKS."""
    with all_tenants():
        worker = Worker.objects.select_for_update(no_key=True).filter(pk=worker_id).first()
        if worker is not None:
            worker.blocks = [*blocks[::-1], *worker.blocks][:MOST_BLOCKS]
            worker.save(update_fields=["blocks"])


def list_blocks(worker: Worker) -> Sequence[LoopBlock]:
    """Return the worker's last blocks by jobs in the current tenant context, newest first."""
    stored = [(UUID(block["job"]), block) for block in worker.blocks]
    jobs = Job.objects.select_related("tenant").in_bulk([job_id for job_id, _ in stored])
    return [
        LoopBlock(jobs[job_id], block["milliseconds"], datetime.fromisoformat(block["at"]))
        for job_id, block in stored
        if job_id in jobs
    ]
