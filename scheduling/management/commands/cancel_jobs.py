"""Cancel jobs by filter."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from scheduling.lifecycle import TERMINAL_STATES, JobState
from scheduling.management.bulk import BulkCommand
from scheduling.management.selection import add_job_arguments, read_job_filter
from scheduling.selectors.jobs import CappedCount, count_jobs, next_job_ids
from scheduling.services.cancellation import cancel_jobs

STATES = tuple(state for state in JobState if state not in TERMINAL_STATES)


class Command(BulkCommand):
    help = "Cancel all jobs of a filter: at once where they wait, at their next safe point where they run."
    row_name = "jobs"

    def add_filter_arguments(self, parser: ArgumentParser) -> None:
        add_job_arguments(parser, STATES)

    def count_rows(self, newest_id: UUID, options: dict[str, Any]) -> CappedCount:
        return count_jobs(read_job_filter(options, STATES, newest_id))

    def next_ids(self, newest_id: UUID, options: dict[str, Any], *, after: UUID | None, limit: int) -> list[UUID]:
        return next_job_ids(read_job_filter(options, STATES, newest_id), after=after, limit=limit)

    def act(self, ids: Sequence[UUID], reason: str, done: Counter[str], refused: Counter[str]) -> None:
        cancelled = len(cancel_jobs(job_ids=ids, reason=reason))
        # A job that ended between the two statements needs no cancelling.
        done.update({"cancelled": cancelled, "ended meanwhile": len(ids) - cancelled})
