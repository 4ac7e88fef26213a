"""Try jobs again by filter."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from scheduling.lifecycle import JobState
from scheduling.management.bulk import BulkCommand, add_up
from scheduling.management.selection import add_job_arguments, read_job_filter
from scheduling.selectors.jobs import CappedCount, count_jobs, next_job_ids
from scheduling.services.retries import retry_jobs

STATES = (JobState.RETRYABLE, JobState.DISCARDED, JobState.QUARANTINED, JobState.CANCELLED)


class Command(BulkCommand):
    help = "Try all jobs of a filter again: at once where they back off, as new jobs where they ended without success."
    row_name = "jobs"

    def add_filter_arguments(self, parser: ArgumentParser) -> None:
        add_job_arguments(parser, STATES)

    def count_rows(self, newest_id: UUID, options: dict[str, Any]) -> CappedCount:
        return count_jobs(read_job_filter(options, STATES, newest_id))

    def next_ids(self, newest_id: UUID, options: dict[str, Any], *, after: UUID | None, limit: int) -> list[UUID]:
        return next_job_ids(read_job_filter(options, STATES, newest_id), after=after, limit=limit)

    def act(self, ids: Sequence[UUID], reason: str, done: Counter[str], refused: Counter[str]) -> None:
        add_up(retry_jobs(job_ids=ids, reason=reason), done, refused)
