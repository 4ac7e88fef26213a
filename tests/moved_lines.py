"""Model of the moves within a line, against which the fair order and the statement of a tick are tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from scheduling.fairness.run_queue import ReadJobs, pick_fair
from scheduling.fairness.shares import PickResult, PoolShare
from scheduling.priority_rules.rules import LINE_JOBS
from tests.fair_model import Model


def order_line[JobT](
    jobs: Sequence[JobT], rank_of: Callable[[JobT], int], offset_of: Callable[[JobT], int]
) -> list[tuple[JobT, int]]:
    """Return the jobs of a line, given by rank, in their moved order, each with the rank of the place that it takes."""
    first, rest = list(jobs[:LINE_JOBS]), list(jobs[LINE_JOBS:])
    moved = sorted(first, key=lambda job: rank_of(job) - offset_of(job))
    return list(zip([*moved, *rest], [rank_of(job) for job in jobs], strict=True))


class MovesJobs(Model):
    """Model in which rules move jobs of each line. ``differing`` counts ticks in which that changed the jobs.

    Each tick asserts that the moves change no turn, if ``are_costs_equal``.
    """

    are_costs_equal = False
    differing = 0

    def supply(self, share: PoolShare) -> ReadJobs:
        own: dict[UUID, int] = self.__dict__.setdefault("own_ranks", {})
        lines = [line for _, entity in self.each_entity() for line in entity.lines.values()]
        for line in lines:
            line.jobs = sorted(job._replace(rank=own.setdefault(job.job_id, job.rank)) for job in line.jobs)
        unmoved = super().supply(share) if self.are_costs_equal else None
        for line in lines:
            moved = order_line(line.jobs, lambda job: job.rank, lambda job: offset_of(job.job_id))
            line.jobs = [job._replace(rank=rank) for job, rank in moved]
        supply = super().supply(share)
        if unmoved is not None:
            before, after = pick_fair(share, unmoved), pick_fair(share, supply)
            assert turns_of(after) == turns_of(before)
            MovesJobs.differing += jobs_of(after) != jobs_of(before)
        return supply


class MovesKinds(Model):
    """Model in which rules move jobs by kind, by the offsets in microseconds; its lines are read before each tick."""

    offsets: ClassVar[Mapping[str, int]] = {}

    def supply(self, share: PoolShare) -> ReadJobs:
        for _, entity in self.each_entity():
            for line in entity.lines.values():
                moved = order_line(sorted(line.jobs), lambda job: job.rank, lambda job: self.offsets.get(job.kind, 0))
                line.jobs = [job._replace(rank=rank) for job, rank in moved]
        return super().supply(share)


class MovesEqualJobs(MovesJobs):
    are_costs_equal = True


def turns_of(result: PickResult) -> tuple[Any, ...]:
    """Return the picks without their jobs, and all clocks after them."""
    turns = [(pick._replace(job=pick.job._replace(job_id=None))) for pick in result.picks]
    return turns, result.virtual_time, result.queues, result.tenants


def jobs_of(result: PickResult) -> list[UUID | None]:
    return [pick.job.job_id for pick in result.picks]


def offset_of(job_id: UUID) -> int:
    """Return the offset of a job in microseconds: earlier, none or later."""
    return (job_id.int * 7_919 % 5 - 2) * 10**6
