"""Try jobs again by filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from scheduling.lifecycle import JobState
from scheduling.management.bulk import JobBulkCommand, add_up
from scheduling.services.retries import retry_jobs


class Command(JobBulkCommand):
    help = "Try all jobs of a filter again: at once where they back off, as new jobs where they ended without success."
    states = (JobState.RETRYABLE, JobState.DISCARDED, JobState.QUARANTINED, JobState.CANCELLED)

    def act(self, ids: Sequence[UUID], reason: str, done: Counter[str], refused: Counter[str]) -> None:
        add_up(retry_jobs(job_ids=ids, reason=reason), done, refused)
