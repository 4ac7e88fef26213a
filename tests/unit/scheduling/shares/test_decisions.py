"""Explanation of a pick: the level with a competitor, and why the competitor was not picked."""

from __future__ import annotations

import pytest

from scheduling.fairness.run_queue import EstimatedJobs, level_of, pick_fair, reason_of
from scheduling.fairness.shares import Pick, PickReason, PoolShare, TreeLevel
from tests.unit.scheduling.fairness.shares import key, keyed, pool, queue, tenant


def first_pick(share: PoolShare) -> Pick:
    return pick_fair(share, EstimatedJobs()).picks[0]


@pytest.mark.parametrize(
    ("share", "level", "reason"),
    [
        (pool(queue(tenant(1))), None, PickReason.ONLY_CANDIDATE),
        # One tenant in each queue: the pool decided.
        (
            pool(queue(tenant(1)), queue(tenant(2), queue_id=2, vruntime=5)),
            TreeLevel.QUEUE,
            PickReason.LEAST_VIRTUAL_TIME,
        ),
        (pool(queue(tenant(1)), queue(tenant(2), queue_id=2)), TreeLevel.QUEUE, PickReason.TIE),
        # A queue without eligible tenants is not a competitor.
        (pool(queue(tenant(1)), queue(tenant(2), queue_id=2, room=0)), None, PickReason.ONLY_CANDIDATE),
        # If several tenants compete in a queue, the reported choice is theirs, regardless of other queues.
        (
            pool(queue(tenant(1), tenant(3, vruntime=5)), queue(tenant(2), queue_id=2)),
            TreeLevel.TENANT,
            PickReason.LEAST_VIRTUAL_TIME,
        ),
        # A single tenant chooses among its keys.
        (pool(queue(keyed(1, key(11), key(12, vruntime=5)))), TreeLevel.KEY, PickReason.LEAST_VIRTUAL_TIME),
        (pool(queue(keyed(1, key(11), key(12)))), TreeLevel.KEY, PickReason.TIE),
        (pool(queue(keyed(1, key(11)))), None, PickReason.ONLY_CANDIDATE),
    ],
)
def test_level_is_the_nearest_with_a_competitor(share: PoolShare, level: TreeLevel | None, reason: PickReason) -> None:
    pick = first_pick(share)
    assert (level_of(pick), reason_of(pick)) == (level, reason)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"head_rank": 9}, PickReason.ARRIVAL_ORDER),
        ({"in_flight": 1}, PickReason.TIE_IN_FLIGHT),
    ],
)
def test_reason_under_fifo_is_never_virtual_time(other: dict[str, int], reason: PickReason) -> None:
    share = pool(queue(tenant(1, vruntime=50), tenant(2, **other), is_fifo=True))
    pick = first_pick(share)
    assert (pick.tenant_entity_id, pick.is_fifo, reason_of(pick)) == (1, True, reason)


def test_every_level_has_the_tag_of_its_runner_up() -> None:
    keys = key(11, vruntime=3), key(12, vruntime=9), key(13, vruntime=8)
    others = queue(tenant(4), queue_id=2, vruntime=7), queue(tenant(5), queue_id=3, vruntime=6)
    pick = first_pick(pool(queue(keyed(1, *keys, vruntime=1), tenant(2, vruntime=2), vruntime=4), *others))
    assert (pick.queue_start_tag, pick.queue_runner_up) == (4, 6)
    assert pick.runner_up is not None
    assert (pick.start_tag, pick.runner_up[0]) == (1, 2)
    assert (pick.key_start_tag, pick.key_runner_up) == (3, 8)


def test_keys_under_fifo_have_no_runner_up_tag() -> None:
    pick = first_pick(pool(queue(keyed(1, key(11), key(12, head_rank=9)), is_fifo=True)))
    assert pick.key_runner_up is None
