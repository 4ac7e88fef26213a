"""Limits on working children, and on the messages that the parent may fetch for them."""

from __future__ import annotations

import mmap
import os
import select
import signal
from collections.abc import Callable
from multiprocessing.synchronize import Semaphore

import pytest

from scheduling.worker import slots as module
from scheduling.worker.slots import SlotPhase, SlotSemaphore

AT_ONCE = 0.0


def always(pid: int) -> bool:
    """Return True: every process lives."""
    return True


@pytest.fixture
def permits() -> SlotSemaphore:
    """Return the permits of a worker with two slots and three children."""
    return SlotSemaphore(2, spare_children=1)


def phases(permits: SlotSemaphore) -> list[int]:
    return [place.phase for place in permits._places]


def test_permits_are_as_many_as_slots(permits: SlotSemaphore) -> None:
    assert permits.acquire(0)
    assert permits.acquire(1)
    assert not permits.acquire(2, patience_seconds=AT_ONCE)
    permits.release(0)
    assert permits.acquire(2)
    assert not permits.acquire(0, patience_seconds=AT_ONCE)


def test_permit_is_released_once(permits: SlotSemaphore) -> None:
    assert permits.acquire(0)
    for _ in range(3):
        permits.release(0)
        permits.finish(0)
    # A release without a permit has no effect.
    permits.release(1)
    permits.announce_end(1)
    assert phases(permits) == [SlotPhase.NONE] * 3
    assert permits.acquire(0)
    assert permits.acquire(1)
    assert not permits.acquire(2, patience_seconds=AT_ONCE)


def test_additional_message_is_fetchable_while_one_ends_or_settles(
    permits: SlotSemaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = 1_000_000_000
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: now_ns)
    assert permits.fetchable == 2
    for child in (0, 1):
        assert permits.acquire(child)
    assert permits.fetchable == 2
    permits.announce_end(0)
    assert permits.fetchable == 3
    # It takes longer than announced.
    now_ns += int(module.NEAR_SECONDS * 1e9)
    assert permits.fetchable == 2
    permits.release(0)
    assert permits.fetchable == 3
    # There are only three children.
    permits.release(1)
    assert permits.fetchable == 3
    permits.finish(0)
    permits.finish(1)
    assert permits.fetchable == 2


def test_failed_announcement_allows_no_further_message(permits: SlotSemaphore) -> None:
    for child in (0, 1):
        assert permits.acquire(child)
    permits.announce_end(0)
    assert permits.fetchable == 3
    assert not permits.acquire(2, patience_seconds=AT_ONCE)
    assert permits.fetchable == 2
    # An end may be announced again.
    permits.announce_end(0)
    assert permits.fetchable == 3


def test_parent_is_woken_when_a_message_is_fetchable(permits: SlotSemaphore) -> None:
    def is_notified() -> bool:
        return bool(select.select([permits.news], [], [], AT_ONCE)[0])

    assert permits.acquire(0)
    assert not is_notified()
    for notify in (permits.announce_end, permits.release):
        notify(0)
        assert is_notified()
        permits.drain_notifications()
        assert not is_notified()
    permits.drain_notifications()
    # Unread news block no child.
    for _ in range(mmap.PAGESIZE * 32):
        permits._tell()
    assert is_notified()


def test_permits_of_dead_children_are_reclaimed(permits: SlotSemaphore) -> None:
    for child in (0, 1):
        assert permits.acquire(child)
    permits.release(1)
    assert permits.acquire(2)
    permits.reclaim_from_dead(always)
    assert not permits.acquire(1, patience_seconds=AT_ONCE)
    permits.reclaim_from_dead(lambda _: False)
    assert phases(permits) == [SlotPhase.NONE] * 3
    assert permits._free.get_value() == 2


def test_unheld_permit_is_restored_after_two_checks(permits: SlotSemaphore) -> None:
    # Died between acquiring the permit and recording it.
    assert permits._free.acquire(block=False)
    permits.reconcile()
    assert permits._free.get_value() == 1
    # A permit that was missing before is recorded by now.
    assert permits.acquire(0)
    permits.reconcile()
    permits.reconcile()
    assert permits._free.get_value() == 1
    assert permits.acquire(1)
    # Recorded as released, but not released: its process died in between.
    permits._places[1].phase = SlotPhase.NONE
    for _ in range(2):
        permits.reconcile()
    assert permits._free.get_value() == 1
    # Also if there is one too many.
    permits._free.release()
    for _ in range(2):
        permits.reconcile()
    assert permits._free.get_value() == 1


def test_inconsistent_reads_restore_no_permit(permits: SlotSemaphore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a permit that is acquired between two reads, each time."""
    assert permits.acquire(0)
    for _ in range(3):
        seen = iter([2, 1])
        with monkeypatch.context() as patch:
            patch.setattr(Semaphore, "get_value", lambda _, seen=seen: next(seen))
            permits.reconcile()
    assert permits.acquire(1)
    assert not permits.acquire(2, patience_seconds=AT_ONCE)


def in_child(work: Callable[[], None]) -> int:
    """Run the work in a child process; return its id. Its status is 0 after success."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def test_processes_with_permits_never_exceed_the_slots(permits: SlotSemaphore) -> None:
    """Run three processes that mark their work, and check the marks of the others."""
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


def test_permit_of_killed_process_is_reclaimed(permits: SlotSemaphore) -> None:
    def hold() -> None:
        assert permits.acquire(0)
        signal.pause()

    pid = in_child(hold)
    while permits._places[0].phase != SlotPhase.WORKING:
        os.sched_yield()
    assert permits.acquire(1)
    assert not permits.acquire(2, patience_seconds=AT_ONCE)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    permits.reclaim_from_dead(lambda pid: pid == os.getpid())
    assert permits.acquire(2)
