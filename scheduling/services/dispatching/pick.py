"""Pick among what was read, and lock what is picked; whose row somebody else holds is passed over.

A mover of the backlog or a cancellation of very many holds the rows of waiting jobs for as long as it is open. A tick
that waited for it would keep all tenants waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from scheduling.fairness.run_queue import ReadSupply, pick_fair
from scheduling.fairness.shares import Pick, PickResult, PoolShare, ReadRows
from scheduling.services.dispatching.rows import RowsReading
from tenants.prepared import prepared_cursor

# Rounds of a pick in which rows turned out to be held.
ROUNDS = 4
# The whole key is compared: a row that has moved meanwhile is another.
_LOCK = """
SELECT r.job_id
FROM unnest(%s::bigint[], %s::bigint[], %s::uuid[]) AS p(entity_id, rank, job_id)
    JOIN scheduling_job_ready r ON r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
FOR NO KEY UPDATE OF r SKIP LOCKED
"""
_LOCK_WITH_JOBS = _LOCK.replace(
    "FOR NO KEY UPDATE OF r", "    JOIN scheduling_job j ON j.id = r.job_id\nFOR NO KEY UPDATE OF r, j"
)


@dataclass(frozen=True, slots=True)
class Picked:
    """``picks`` are those of ``result`` whose rows are locked.

    ``rows`` are what the last round picked from. ``passed_over`` are the lines of which jobs were left to whoever
    holds them: what is next there, nobody knows yet. ``dropped`` are the picks of such jobs.
    """

    result: PickResult
    picks: Sequence[Pick]
    rows: Mapping[int, ReadRows]
    passed_over: Collection[int]
    dropped: Sequence[Pick] = ()

    @property
    def is_cut_short(self) -> bool:
        """Whether another pick at once may find more."""
        return self.result.is_cut_short or len(self.picks) < len(self.result.picks)


def pick_and_lock(share: PoolShare, found: RowsReading, *, is_careful: bool = False) -> Picked:
    """Pick in fair order among the jobs that nobody else holds; one statement, and one more for each round.

    If ``is_careful``, jobs are passed over whose own rows are held, as well.
    """
    rows, passed_over = dict(found.rows), set(found.kept)
    result = pick_fair(share, ReadSupply(rows))
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
            # Fewer than were asked for: so the others of the line are picked, and then other lines.
            rows[entity_id] = _without(rows[entity_id], lost)
        result = pick_fair(share, ReadSupply(rows))
    picks = [pick for pick in result.picks if pick.job.job_id in locked]
    return Picked(result, picks, rows, passed_over, dropped)


def _without(read: ReadRows, job_ids: Collection[UUID | None]) -> ReadRows:
    jobs = [job for job in read.jobs if job.job_id not in job_ids]
    return replace(read, asked=max(read.asked, len(jobs) + 1), jobs=jobs)


def _lock(picks: Iterable[Pick], *, is_careful: bool) -> set[UUID]:
    """The jobs of these that this transaction now holds."""
    wanted = [(pick.entity_id, pick.job.rank, pick.job.job_id) for pick in picks]
    if not wanted:
        return set()
    with prepared_cursor() as cursor:
        cursor.execute(_LOCK_WITH_JOBS if is_careful else _LOCK, [list(column) for column in zip(*wanted, strict=True)])
        return {job_id for (job_id,) in cursor.fetchall()}
