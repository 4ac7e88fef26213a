"""Lists as properties of the pure pick: their bounds, the parts of free slots, and caps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.run_queue import ReadJobs, pick_fair, rows_to_read
from scheduling.fairness.shares import Pick, ReadRows
from tests.unit.scheduling.fairness.picks import (
    BIG_US,
    LISTS,
    ROOMY,
    entity,
    job,
    listed,
    messages_of,
    pick,
    pool_of,
)


def loads(picks: Sequence[Pick]) -> list[int]:
    return [sum(one.job.cost_us for one in message) for message in messages_of(picks)]


def test_lists_of_free_slots_get_equal_parts() -> None:
    result = pick([{1: [listed(1_000)] * 10}], room=2, rule=LISTS)
    assert [one.message for one in result.picks] == [0, 1] * 5


def test_list_is_limited_by_jobs_and_by_predicted_work() -> None:
    assert loads(pick([{1: [listed(1_000)] * 99}], room=3, rule=LISTS).picks) == [5_000] * 3
    assert loads(pick([{1: [listed(9_000)] * 99}], room=3, rule=LISTS).picks) == [18_000] * 3
    assert loads(pick([{1: [listed(26_000)] * 99}], room=3, rule=LISTS).picks) == [26_000] * 3


def test_next_job_joins_the_list_of_least_work() -> None:
    result = pick([{1: [listed(9_000), listed(1_000), listed(2_000), listed(7_000)]}], room=2, rule=LISTS)
    assert [one.message for one in result.picks] == [0, 1, 1, 1]


def test_list_has_jobs_of_several_kinds_and_tenants_in_the_order_of_the_picks() -> None:
    queues = [{1: [listed(10, "a"), listed(10, "b")], 2: [listed(10, "c")]}]
    alone = pick(queues, room=ROOMY, rule=None).picks
    together = pick(queues, room=1, rule=LISTS).picks
    assert {one.message for one in together} == {0}
    assert [one.job.kind for one in together] == [one.job.kind for one in alone]


def test_list_has_jobs_of_one_queue() -> None:
    result = pick([{1: [listed(10)] * 3}, {1: [listed(10)] * 3}], room=2, rule=LISTS)
    assert sorted({(one.message, one.queue_id) for one in result.picks}) == [(0, 0), (1, 1)]
    assert len(result.picks) == 6


def test_job_that_fits_no_list_ends_the_tick() -> None:
    # The job behind it would fit, but waits too.
    result = pick([{1: [listed(10), listed(BIG_US), listed(10)]}], room=1, rule=LISTS)
    assert len(result.picks) == 1
    assert not result.is_cut_short


def test_merged_message_and_list_exclude_each_other() -> None:
    result = pick([{1: [job(10), listed(10), job(10), listed(10)]}], room=2, rule=LISTS)
    assert [one.message for one in result.picks] == [0, 1, 0, 1]


def test_job_that_travels_alone_joins_no_list() -> None:
    result = pick([{1: [listed(10), job(10, may_merge=False), listed(10)]}], room=1, rule=LISTS)
    assert len(result.picks) == 1


def test_tenant_at_its_cap_joins_only_its_own_lists() -> None:
    result = pick([{1: [listed(10)] * 9, 2: [listed(10)] * 9}], room=3, caps={1: 1}, rule=LISTS)
    assert len({one.message for one in result.picks if one.tenant_id.int == 1}) == 1
    assert len({one.message for one in result.picks}) == 3
    assert max(len(message) for message in messages_of(result.picks)) == LISTS.list_jobs


def test_tenant_at_its_cap_fills_its_list_beside_a_free_slot() -> None:
    result = pick([{1: [listed(10)] * 9}], room=3, caps={1: 1}, rule=LISTS)
    assert [one.message for one in result.picks] == [0] * LISTS.list_jobs


def test_queue_at_its_cap_fills_its_lists_beside_a_free_slot() -> None:
    result = pick([{1: [listed(10)] * 9, 2: [listed(10)] * 9}], room=9, queue_room=2, rule=LISTS)
    assert [len(message) for message in messages_of(result.picks)] == [LISTS.list_jobs] * 2


def test_reserved_slot_gets_a_list_of_its_own() -> None:
    share = pool_of([{1: [listed(10)] * 9, 2: [listed(10)] * 9}], room=2, reserved=1, rule=LISTS)
    (queue,) = share.queues
    tenants = [replace(tenant, entitled_slots=float(tenant.tenant_id.int == 2)) for tenant in queue.tenants]
    rows = {entity(0, number): ReadRows(ROOMY, [listed(10)] * 9) for number in (1, 2)}
    picks = pick_fair(replace(share, queues=[replace(queue, tenants=tenants)]), ReadJobs(rows)).picks
    by_message = messages_of(picks)
    assert [len(message) for message in by_message] == [LISTS.list_jobs] * 2
    assert by_message[1][0].tenant_id.int == 2


def test_rows_to_read_fill_the_lists() -> None:
    share = pool_of([{1: [listed(20_000)] * 9}], room=2, rule=replace(LISTS, list_us=60_000))
    tenant = replace(share.queues[0].tenants[0], estimate_us=20_000)
    share = replace(share, queues=[replace(share.queues[0], tenants=[tenant])])
    # Two lists of three, and one more to detect further jobs.
    assert rows_to_read(share) == {entity(0, 1): 7}


def test_pick_does_not_proceed_past_an_unread_job_of_a_list() -> None:
    share = pool_of([{1: [listed(10)] * 9, 2: [listed(10)] * 9}], room=4, caps={1: 1}, rule=LISTS)
    rows = {entity(0, 1): ReadRows(1, [listed(10)]), entity(0, 2): ReadRows(9, [listed(10)] * 9)}
    result = pick_fair(share, ReadJobs(rows))
    # The first tenant, at its cap, has another job for its list.
    assert result.is_cut_short
    assert len(result.picks) < 4


@pytest.mark.parametrize(("cost_us", "most"), [(5, 4), (15_000, 4), (19_999, 3), (20_000, 1), (BIG_US, 1)])
def test_most_jobs_of_a_message(cost_us: int, most: int) -> None:
    assert LISTS.most_jobs(cost_us) == most


@given(
    costs=st.lists(st.sampled_from([1, 900, 4_000, 12_500, 25_000, BIG_US]), min_size=1, max_size=60),
    room=st.integers(1, 6),
)
def test_lists_take_jobs_until_the_next_fits_nowhere(costs: list[int], room: int) -> None:
    jobs = [listed(cost_us) for cost_us in costs]
    picks = pick([{1: jobs}], room=room, rule=LISTS).picks
    assert [one.job for one in picks] == jobs[: len(picks)]
    used = messages_of(picks)
    assert len(used) == min(room, len(jobs))
    if len(picks) < len(jobs):
        further = jobs[len(picks)].cost_us
        open_loads = [sum(one.job.cost_us for one in message) for message in used if len(message) < LISTS.list_jobs]
        assert all(load + further > LISTS.list_us for load in open_loads)
    for number, one in enumerate(picks[room:], start=room):
        before = loads(picks[:number])
        counts = [len(message) for message in messages_of(picks[:number])]
        assert before[one.message] == min(
            load for load, count in zip(before, counts, strict=True) if count < LISTS.list_jobs
        )
