"""How many of a worker's children work at once, and what the parent may fetch for them."""

from __future__ import annotations

import mmap
import os
import select
import signal
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from scheduling.worker import slots as module
from scheduling.worker.slots import Permits, Phase

AT_ONCE = 0.0


def always(pid: int) -> bool:
    """Whoever has this process id lives."""
    return True


@pytest.fixture
def permits() -> Permits:
    """Of a worker with two slots and three children."""
    return Permits(2, spare_children=1)


def phases(permits: Permits) -> list[int]:
    return [place.phase for place in permits._places]


def test_as_many_children_work_as_there_are_slots(permits: Permits) -> None:
    assert permits.acquire(0)
    assert permits.acquire(1)
    assert not permits.acquire(2, patience_seconds=AT_ONCE)
    permits.release(0)
    assert permits.acquire(2)
    assert not permits.acquire(0, patience_seconds=AT_ONCE)


def test_a_permit_is_given_back_once(permits: Permits) -> None:
    assert permits.acquire(0)
    for _ in range(3):
        permits.release(0)
        permits.finish(0)
    # Nor does one give back what it never had.
    permits.release(1)
    permits.announce_end(1)
    assert phases(permits) == [Phase.NONE] * 3
    assert permits.acquire(0)
    assert permits.acquire(1)
    assert not permits.acquire(2, patience_seconds=AT_ONCE)


def test_a_message_more_is_fetched_while_one_ends_or_is_settled(
    permits: Permits, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = 1_000_000_000
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: now_ns)
    assert permits.fetchable == 2
    for child in (0, 1):
        assert permits.acquire(child)
    assert permits.fetchable == 2
    permits.announce_end(0)
    assert permits.fetchable == 3
    # It takes longer than it said.
    now_ns += int(module.NEAR_SECONDS * 1e9)
    assert permits.fetchable == 2
    permits.release(0)
    assert permits.fetchable == 3
    # There are no more children than three.
    permits.release(1)
    assert permits.fetchable == 3
    permits.finish(0)
    permits.finish(1)
    assert permits.fetchable == 2


def test_no_other_message_is_fetched_for_an_end_that_did_not_come(permits: Permits) -> None:
    for child in (0, 1):
        assert permits.acquire(child)
    permits.announce_end(0)
    assert permits.fetchable == 3
    assert not permits.acquire(2, patience_seconds=AT_ONCE)
    assert permits.fetchable == 2
    # It may be told again, and is.
    permits.announce_end(0)
    assert permits.fetchable == 3


def test_the_parent_is_woken_when_it_may_fetch(permits: Permits) -> None:
    def is_told() -> bool:
        return bool(select.select([permits.news], [], [], AT_ONCE)[0])

    assert permits.acquire(0)
    assert not is_told()
    for tell in (permits.announce_end, permits.release):
        tell(0)
        assert is_told()
        permits.hear()
        assert not is_told()
    permits.hear()
    # Who is not heard stops nobody.
    for _ in range(mmap.PAGESIZE * 32):
        permits._tell()
    assert is_told()


def test_the_dead_hold_nothing(permits: Permits) -> None:
    for child in (0, 1):
        assert permits.acquire(child)
    permits.release(1)
    assert permits.acquire(2)
    permits.take_back(always)
    assert not permits.acquire(1, patience_seconds=AT_ONCE)
    permits.take_back(lambda _: False)
    assert phases(permits) == [Phase.NONE] * 3
    assert permits._free.get_value() == 2


def test_what_nobody_holds_is_made_good_when_it_is_missed_twice(permits: Permits) -> None:
    # Died between taking it and noting it.
    assert permits._free.acquire(block=False)
    permits.make_good()
    assert permits._free.get_value() == 1
    # What was missing a moment ago is noted by now.
    assert permits.acquire(0)
    permits.make_good()
    permits.make_good()
    assert permits._free.get_value() == 1
    assert permits.acquire(1)
    # Noted to be given back, and not given: its process died in between.
    permits._places[1].phase = Phase.NONE
    for _ in range(2):
        permits.make_good()
    assert permits._free.get_value() == 1
    # And where there is one too many.
    permits._free.release()
    for _ in range(2):
        permits.make_good()
    assert permits._free.get_value() == 1


def test_what_is_of_two_moments_is_not_made_good(permits: Permits, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody took one each time between the two looks."""
    seen = iter([2, 1] * 3)
    monkeypatch.setattr(permits, "_free", SimpleNamespace(get_value=lambda: next(seen)))
    assert permits._places[0].phase == Phase.NONE
    permits._places[0].phase = Phase.WORKING
    for _ in range(3):
        permits.make_good()


def in_child(work: Callable[[], None]) -> int:
    """The id of a process that does it, and ends with status 0 if it could."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def test_no_more_processes_work_than_there_are_slots(permits: Permits) -> None:
    """Three processes in turns, each of which marks where it works and looks who else does."""
    working = mmap.mmap(-1, 3)

    def work(child: int) -> None:
        for _ in range(300):
            assert permits.acquire(child, patience_seconds=60)
            working[child] = 1
            os.sched_yield()
            assert sum(working[:]) <= 2
            working[child] = 0
            permits.release(child)
            permits.finish(child)

    pids = [in_child(lambda child=child: work(child)) for child in range(3)]  # type: ignore[misc]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
    assert permits._free.get_value() == 2


def test_a_process_that_was_killed_leaves_its_permit(permits: Permits) -> None:
    def hold() -> None:
        assert permits.acquire(0)
        signal.pause()

    pid = in_child(hold)
    while permits._places[0].phase != Phase.WORKING:
        os.sched_yield()
    assert permits.acquire(1)
    assert not permits.acquire(2, patience_seconds=AT_ONCE)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    permits.take_back(lambda pid: pid == os.getpid())
    assert permits.acquire(2)
