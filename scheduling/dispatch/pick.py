"""Picks of jobs in fair order, and locks on their rows; jobs that another transaction has locked are skipped.

Moving a backlog or cancelling very many jobs locks the rows of waiting jobs for the whole transaction. A tick that
waited for it would delay all tenants.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from psycopg.rows import scalar_row

from scheduling.dispatch.rows import RowsReading
from scheduling.fairness.run_queue import ReadJobs, pick_fair
from scheduling.fairness.shares import Pick, PickResult, PoolShare, ReadRows
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

# The most repetitions of a pick in which rows turned out to be locked.
ROUNDS = 4
_SQL = load_sql(__file__)
_LOCK = _SQL["lock_picks"]
_LOCK_WITH_JOBS = _SQL["lock_picks_and_jobs"]


@dataclass(frozen=True, slots=True)
class Picked:
    """The result of a pick; ``picks`` are those whose rows are now locked.

    ``rows`` are the jobs that the last round picked from. ``dropped`` are the picks whose jobs another transaction has
    locked. ``passed_over`` are the fair-share nodes of these jobs, whose next job is therefore unknown.
    """

    result: PickResult
    picks: Sequence[Pick]
    rows: Mapping[int, ReadRows]
    passed_over: Collection[int]
    dropped: Sequence[Pick] = ()

    @property
    def is_cut_short(self) -> bool:
        """Return whether another pick right now may find more jobs."""
        return self.result.is_cut_short or len(self.picks) < len(self.result.picks)


def pick_and_lock(share: PoolShare, found: RowsReading, *, is_careful: bool = False) -> Picked:
    """Pick jobs in fair order and lock their rows; jobs that another transaction has locked are replaced by others.

    Each round takes one statement. If ``is_careful``, the jobs' rows in the job table must be free too.
    """
    rows, passed_over = dict(found.rows), set(found.kept)
    result = pick_fair(share, ReadJobs(rows))
    locked: set[UUID | None] = set()
    dropped: list[Pick] = []
    for _ in range(ROUNDS):
        locked |= _lock([pick for pick in result.picks if pick.job.job_id not in locked], is_careful=is_careful)
        left = [pick for pick in result.picks if pick.job.job_id not in locked]
        if not left:
            break
        dropped += left
        lost = {pick.job.job_id: pick.entity_id for pick in left}
        passed_over.update(lost.values())
        for entity_id in set(lost.values()):
            # Fewer than were asked for, so that the rest of the line is picked, and then other lines.
            rows[entity_id] = _without(rows[entity_id], lost)
        result = pick_fair(share, ReadJobs(rows))
    picks = [pick for pick in result.picks if pick.job.job_id in locked]
    return Picked(result, picks, rows, passed_over, dropped)


def _without(read: ReadRows, job_ids: Collection[UUID | None]) -> ReadRows:
    jobs = [job for job in read.jobs if job.job_id not in job_ids]
    return replace(read, asked=max(read.asked, len(jobs) + 1), jobs=jobs)


def _lock(picks: Iterable[Pick], *, is_careful: bool) -> set[UUID]:
    """Return the jobs of these picks that this transaction has locked."""
    wanted = list(picks)
    if not wanted:
        return set()
    values: dict[str, Any] = {
        "entity_ids": [pick.entity_id for pick in wanted],
        "ranks": [pick.job.rank for pick in wanted],
        "job_ids": [pick.job.job_id for pick in wanted],
    }
    return set(fetch_all(_LOCK_WITH_JOBS if is_careful else _LOCK, values, scalar_row))
