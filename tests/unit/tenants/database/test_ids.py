"""UUIDv7: order, layout and uniqueness."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest

from tenants.database import ids
from tenants.database.ids import IdCounter, uuid7, uuid7_after, uuid7_floor, uuid7s


def test_id_contains_version_variant_and_millisecond():
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= after + 1


def test_ids_of_one_process_increase_strictly():
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(set(made))


def test_batch_of_ids_increases_with_those_before_and_after():
    before, many, after = uuid7(), uuid7s(5_000), uuid7()
    made = [before, *many, after]
    assert made == sorted(set(made))
    assert {(each.version, each.variant) for each in many} == {(7, uuid.RFC_4122)}
    assert uuid7s(0) == []


def test_ids_increase_although_the_clock_steps_back(monkeypatch):
    first = uuid7()
    an_hour_ago = time.time_ns() - 3_600 * 1_000_000_000
    monkeypatch.setattr(ids.time, "time_ns", lambda: an_hour_ago)
    assert uuid7() > first


def test_id_after_another_is_greater_although_that_is_of_a_clock_ahead():
    now = uuid7()
    ahead = uuid7_floor(datetime.now(UTC) + timedelta(hours=1))
    made = [uuid7_after(now), uuid7_after(ahead)]
    made.append(uuid7_after(made[-1]))
    assert [now, made[0], ahead, *made[1:]] == sorted({now, ahead, *made})
    assert {(each.version, each.variant) for each in made} == {(7, uuid.RFC_4122)}
    assert (made[2].int - ahead.int) >> 80 <= 2
    # The ids of this process do not follow.
    assert uuid7() < ahead


@pytest.mark.parametrize(("left", "count"), [(0, 1), (2, 5)])
def test_ids_beyond_a_full_counter_use_the_next_millisecond(left, count, monkeypatch):
    counter, now = IdCounter(), time.time_ns()
    monkeypatch.setattr(ids.time, "time_ns", lambda: now)
    milliseconds, first = counter.take(2**42 - left, seed=0)
    assert (milliseconds, first) == (now // 1_000_000, 0)
    assert counter.take(count, seed=7) == (milliseconds + 1, 0)
    assert counter.take(1, seed=7) == (milliseconds + 1, count)


def test_threads_never_share_an_id():
    made: list[list[uuid.UUID]] = [[] for _ in range(4)]
    threads = [Thread(target=lambda own=own: own.extend(uuid7() for _ in range(2_000))) for own in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each for own in made for each in own}) == 8_000


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # the fork is the subject of the test
def test_forked_child_does_not_repeat_ids_of_its_parent():
    uuid7()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, b"".join(uuid7().bytes for _ in range(100)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read_end, 1_600)
    os.close(read_end)
    os.close(write_end)
    ours = {uuid7().bytes for _ in range(100)}
    assert ours.isdisjoint(theirs[start : start + 16] for start in range(0, 1_600, 16))


def test_floor_is_the_least_id_of_its_millisecond():
    moment = datetime(2026, 3, 1, 12, 0, 0, 123_999, tzinfo=UTC)
    floor = uuid7_floor(moment)
    assert floor.int >> 80 == int(moment.timestamp() * 1000)
    assert (floor.version, floor.variant) == (7, uuid.RFC_4122)
    assert uuid7_floor(moment - timedelta(milliseconds=1)) < floor < uuid7_floor(moment + timedelta(milliseconds=1))


def test_floor_is_below_every_later_id():
    floor = uuid7_floor(datetime.now(UTC))
    assert floor < uuid7()


def test_floor_requires_a_time_zone():
    with pytest.raises(ValueError, match="aware"):
        uuid7_floor(datetime(2026, 3, 1))  # noqa: DTZ001 - the mistake under test


def test_floor_before_the_epoch_is_the_least_id():
    assert uuid7_floor(datetime(216, 3, 27, tzinfo=UTC)) == uuid7_floor(datetime(1970, 1, 1, tzinfo=UTC))
