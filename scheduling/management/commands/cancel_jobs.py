"""Cancel jobs by filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from scheduling.lifecycle import TERMINAL_STATES, JobState
from scheduling.management.bulk import JobBulkCommand
from scheduling.services.cancellation import cancel_jobs


class Command(JobBulkCommand):
    help = "Cancel all jobs of a filter: at once where they wait, at their next safe point where they run."
    states = tuple(state for state in JobState if state not in TERMINAL_STATES)

    def act(self, ids: Sequence[UUID], reason: str, done: Counter[str], refused: Counter[str]) -> None:
        cancelled = len(cancel_jobs(job_ids=ids, reason=reason))
        # A job that ended between the two statements needs no cancelling.
        done.update({"cancelled": cancelled, "ended meanwhile": len(ids) - cancelled})
