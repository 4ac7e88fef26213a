"""A pick never proceeds past an unread job, also at a cap."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from scheduling.fairness.run_queue import ReadJobs, pick_fair
from scheduling.fairness.shares import MergeRule, PoolShare, ReadRows, ReadyJob
from tests.unit.scheduling.fairness.shares import pool, queue, tenant

AHEAD = 10**9
RULE = MergeRule(below_us=20_000, jobs=100, total_us=200_000)


def small(number: int) -> ReadyJob:
    return ReadyJob(UUID(int=number), 0, "noop", 1, may_merge=True)


@pytest.mark.parametrize(
    "share",
    [
        pool(queue(tenant(1), tenant(2, vruntime=AHEAD)), room=4, caps={1: 1}),
        pool(queue(tenant(1), room=1), queue(tenant(2), queue_id=2, vruntime=AHEAD), room=4),
    ],
    ids=["a tenant at its cap", "a queue at its cap"],
)
def test_unread_job_ends_the_tick_also_at_a_cap(share: PoolShare) -> None:
    rows = {
        1: ReadRows(2, [small(1), small(2)]),
        2: ReadRows(3, [small(21), small(22)]),
    }
    result = pick_fair(replace(share, merging=RULE, limit=10), ReadJobs(rows))
    # The third job of the first tenant, which would join the others, was not read; no job precedes it.
    assert ([pick.entity_id for pick in result.picks], result.is_cut_short) == ([1, 1], True)
