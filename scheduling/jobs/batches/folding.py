"""Counting of ended jobs into their batches, and the end of a batch whose last job has ended.

One process at a time does it. It skips batches whose rows are locked because jobs are being added; a later call counts
their jobs.
"""

from __future__ import annotations

from uuid import UUID

from scheduling.dispatch.broker import wake_on_commit
from scheduling.dispatch.leadership import try_to_lead
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.waiting_jobs import make_ready
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_one
from tenants.database.sql import load_sql

FOLD_ROWS = 10_000
_FOLD = load_sql(__file__)["fold_batches"]


def fold_batches(*, limit: int = FOLD_ROWS) -> int:
    """Add ended jobs to the counters of their batches, end complete batches, and resume the jobs that wait for them.

    Return how many `BatchNews` rows were counted; 0 while another process does the same.
    """
    with all_tenants():
        if not try_to_lead(LockClass.BATCHES):
            return 0
        done = fetch_one(_FOLD, {"limit": limit})
        if done.looked == limit and not done.folded:
            # All of these belong to locked batches; the ones behind them must not wait for those.
            done = fetch_one(_FOLD, {"limit": None})
        if done.waiting:
            resume_parents(done.waiting)
    return int(done.folded)


def resume_parents(job_ids: list[UUID]) -> None:
    """Make jobs available that waited for their children; skip jobs that are no longer suspended."""
    make_ready(job_ids, from_states=[JobState.SUSPENDED], event="job.children_ended")
    wake_on_commit()
