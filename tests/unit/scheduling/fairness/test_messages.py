"""Messages as properties of the pure pick: order and caps hold, and no job is skipped to fill one."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.run_queue import ReadJobs, pick_fair, rows_to_read
from scheduling.fairness.shares import KeyShare, PoolShare, QueueShare, ReadRows, TenantShare
from tests.unit.scheduling.fairness.picks import (
    BIG_US,
    LISTS,
    ROOMY,
    RULE,
    Jobs,
    entity,
    job,
    listed,
    messages_of,
    pick,
    pool_of,
    tags,
)


def test_small_jobs_of_all_tenants_share_a_message_and_its_slot() -> None:
    result = pick([{tenant: [job(5)] for tenant in range(4)}], room=1)
    assert len(result.picks) == 4
    assert len(messages_of(result.picks)) == 1


def test_big_job_at_its_turn_ends_the_tick_without_free_slots() -> None:
    # The small job behind it would fit into the open message, but waits too.
    result = pick([{1: [job(5), job(BIG_US)], 2: [job(10), job(5)]}], room=1)
    assert [one.job.cost_us for one in result.picks] == [5, 10]
    assert not result.is_cut_short


def test_messages_contain_one_kind_and_one_queue() -> None:
    result = pick([{1: [job(5, "a"), job(5, "b"), job(5, "a")]}, {1: [job(5, "a")]}], room=9)
    assert sorted(len(message) for message in messages_of(result.picks)) == [1, 1, 2]


def test_unmergeable_job_has_its_own_message() -> None:
    result = pick([{1: [job(5), job(5, may_merge=False), job(5)]}], room=9)
    assert [one.message for one in result.picks] == [0, 1, 0]


def test_message_is_limited_by_predicted_work() -> None:
    result = pick([{1: [job(19_000)] * 4}], room=9)
    assert [len(message) for message in messages_of(result.picks)] == [3, 1]


def test_tenant_at_its_cap_continues_in_its_open_message() -> None:
    result = pick([{1: [job(5)] * 6, 2: [job(5)] * 6}], room=9, caps={1: 1})
    # Four fit into the first message. The second contains jobs of the other tenant only.
    first, second, *_ = messages_of(result.picks)
    assert {one.tenant_id.int for one in first} == {1, 2}
    assert {one.tenant_id.int for one in second} == {2}


def test_joining_a_message_counts_against_the_cap_of_the_tenant() -> None:
    jobs = [job(5, "a"), job(5, "b")]
    result = pick([{1: jobs, 2: jobs}], room=9, caps={2: 1})
    # The second is in the message of the first kind, so it may not join that of the other.
    assert [one.tenant_id.int for one in result.picks] == [1, 2, 1]


def test_queue_at_its_cap_continues_in_its_open_message() -> None:
    result = pick([{1: [job(5), job(5), job(BIG_US), job(5)]}], room=9, queue_room=1)
    assert [one.job.cost_us for one in result.picks] == [5, 5]


def test_slots_beyond_the_read_rows_request_another_tick() -> None:
    assert pick([{1: [job(5)] * 9}], room=3, limit=2).is_cut_short
    assert not pick([{1: [job(5)] * 9}], room=1, limit=2).is_cut_short


def test_rows_to_read_equal_the_capacity_of_the_messages() -> None:
    share = pool_of([{1: [job(5)] * 9}], room=2)
    # Two messages of four, and one more to detect further jobs.
    assert rows_to_read(share) == {entity(0, 1): 9}


def test_keys_of_a_tenant_share_messages() -> None:
    keys = [
        KeyShare(entity_id=number, vruntime=0, in_flight=0, head_rank=0, waiting=2, estimate_us=5) for number in (1, 2)
    ]
    tenant = TenantShare(9, UUID(int=9), 1_000, 0, 0, 0, 4, 5, keys=keys)
    queue = QueueShare(1, 1_000, 0, 0, True, ROOMY, False, [tenant])
    rows = {number: ReadRows(3, [job(5)] * 2) for number in (1, 2)}
    result = pick_fair(PoolShare(0, 1, [queue], {UUID(int=9): 1}, limit=9, merging=RULE), ReadJobs(rows))
    assert Counter(one.entity_id for one in result.picks) == {1: 2, 2: 2}


JOBS = st.lists(
    st.builds(
        job,
        st.sampled_from([5, 900, 15_000, 19_999, 20_000, BIG_US]),
        st.sampled_from(["a", "b"]),
        may_merge=st.sampled_from([True, True, True, False]),
    ),
    max_size=12,
)
QUEUES = st.lists(st.dictionaries(st.integers(1, 5), JOBS, max_size=4), min_size=1, max_size=3)
SOME_LISTED = st.lists(
    st.one_of(
        st.builds(listed, st.sampled_from([5, 900, 4_000, 12_500, 25_000, BIG_US]), st.sampled_from(["a", "b"])),
        st.builds(job, st.sampled_from([5, 900, BIG_US]), st.sampled_from(["a", "b"]), may_merge=st.booleans()),
    ),
    max_size=20,
)
QUEUES_WITH_LISTS = st.lists(st.dictionaries(st.integers(1, 5), SOME_LISTED, max_size=4), min_size=1, max_size=3)


@given(queues=st.one_of(QUEUES, QUEUES_WITH_LISTS), room=st.integers(0, 6))
def test_order_of_jobs_that_share_messages_equals_that_of_single_ones(queues: list[Jobs], room: int) -> None:
    """Compare start tags per queue: ties depend on messages in flight, which are fewer if jobs share them."""
    alone = tags(pick(queues, room=ROOMY, rule=None).picks)
    for queue_id, found in tags(pick(queues, room=room, rule=LISTS).picks).items():
        assert found == alone[queue_id][: len(found)]


@given(queues=QUEUES, room=st.integers(1, 6))
def test_pick_ends_only_if_the_next_job_needs_a_missing_slot(queues: list[Jobs], room: int) -> None:
    alone = pick(queues, room=ROOMY, rule=None).picks
    merged = pick(queues, room=room).picks
    if len(merged) < len(alone):
        assert len(messages_of(merged)) == room
        # With one more slot, the next job opens a message.
        further = pick(queues, room=room + 1).picks
        assert further[len(merged)].message == room


@given(
    queues=st.one_of(QUEUES, QUEUES_WITH_LISTS),
    room=st.integers(0, 6),
    queue_room=st.integers(0, 3),
    caps=st.dictionaries(st.integers(1, 5), st.integers(0, 3)),
    limit=st.integers(1, 30),
)
def test_messages_respect_every_limit(
    queues: list[Jobs], room: int, queue_room: int, caps: dict[int, int], limit: int
) -> None:
    picks = pick(queues, room=room, queue_room=queue_room, caps=caps, limit=limit, rule=LISTS).picks
    messages = messages_of(picks)
    assert len(messages) <= room
    assert len(picks) <= limit
    for message in messages:
        assert len({one.queue_id for one in message}) == 1
        if len(message) == 1:
            continue
        is_list = message[0].job.may_list
        assert all((one.job.may_list, one.job.may_merge) == (is_list, not is_list) for one in message)
        assert is_list or len({one.job.kind for one in message}) == 1
        assert len(message) <= (LISTS.list_jobs if is_list else LISTS.jobs)
        assert sum(one.job.cost_us for one in message) <= (LISTS.list_us if is_list else LISTS.total_us)
    by_queue = Counter(queue for queue, _ in {(one.queue_id, one.message) for one in picks})
    assert all(count <= queue_room for count in by_queue.values())
    by_tenant = Counter(tenant.int for tenant, _ in {(one.tenant_id, one.message) for one in picks})
    assert all(count <= caps.get(tenant, ROOMY) for tenant, count in by_tenant.items())
