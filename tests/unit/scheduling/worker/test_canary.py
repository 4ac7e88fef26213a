"""Conditions under which a worker counts as no longer reading its queues."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from scheduling.worker.canary import CanaryWatch
from scheduling.worker.control_block import ControlBlock

LOOK = 0.25


class Life:
    """Life of a worker, checked four times a second; the lambdas define what happens at which second."""

    def __init__(self) -> None:
        self.watch = CanaryWatch(interval_seconds=5, limit_seconds=12)
        self.watch.note_answered()
        self.sent: list[float] = []

    def late_at(
        self,
        until: float,
        *,
        reads: Callable[[float], bool] = lambda _: False,
        is_free: Callable[[float], bool] = lambda _: True,
        broker_takes: Callable[[float], bool] = lambda _: True,
        looks: Iterator[float] | None = None,
    ) -> float | None:
        """Return the second at which the worker is late, or None."""
        for now in looks or (step * LOOK for step in range(int(until / LOOK))):
            if self.watch.unanswered and reads(now) and is_free(now):
                self.watch.note_answered()
            if self.watch.is_due(now, has_free_child=is_free(now)):
                self.sent.append(now)
                (self.watch.note_sent if broker_takes(now) else self.watch.note_refused)(now)
            if self.watch.is_late(now, has_free_child=is_free(now)):
                return now
        return None


def test_reading_worker_is_never_late() -> None:
    life = Life()
    assert life.late_at(600, reads=lambda _: True) is None
    assert len(life.sent) == 120


def test_worker_that_stops_reading_is_late_after_the_limit() -> None:
    late = Life().late_at(600, reads=lambda now: now < 101)
    # The canary of second 105 is the first that is not read.
    assert late == pytest.approx(105 + 12, abs=1)


def test_worker_without_free_child_is_not_late_and_gets_no_canary() -> None:
    life = Life()
    assert life.late_at(600, is_free=lambda _: False) is None
    assert len(life.sent) == 1


def test_worker_has_the_whole_limit_after_a_child_becomes_free() -> None:
    late = Life().late_at(600, is_free=lambda now: now >= 300)
    assert late == pytest.approx(300 + 12, abs=1)


def test_short_idle_time_does_not_make_a_worker_late() -> None:
    assert Life().late_at(600, is_free=lambda now: now % 10 < 3) is None


def test_broker_outage_makes_no_worker_late() -> None:
    assert Life().late_at(600, broker_takes=lambda _: False) is None


def test_lost_canary_makes_no_worker_late() -> None:
    lost = 50.0
    assert Life().late_at(600, reads=lambda now: not lost <= now < lost + 5) is None


def test_worker_without_any_answered_canary_is_not_late() -> None:
    life = Life()
    life.watch = CanaryWatch(interval_seconds=5, limit_seconds=12)
    assert life.late_at(600) is None


def test_suspended_machine_makes_no_worker_late() -> None:
    looks = iter([0.0, 0.25, 3_600.0, 3_600.25, 3_600.5])
    assert Life().late_at(0, looks=looks) is None


def test_only_a_pending_canary_can_be_answered() -> None:
    block = ControlBlock(1)
    for number in (0, 1, -1, 2**70):
        block.answer_canary(number)
        assert block.canary_answered == 0
    assert block.canary_age_seconds is None
    first, second = block.send_canary(), block.send_canary()
    block.answer_canary(second)
    block.answer_canary(first)
    assert block.canary_answered == second
    assert block.canary_age_seconds == pytest.approx(0, abs=60)


def test_child_is_busy_with_upkeep_until_it_ends_or_dies() -> None:
    block = ControlBlock(1)
    assert block.has_free_child()
    block.note_task(0)
    assert not block.has_free_child()
    block.forget_task_of(lambda _: True)
    assert not block.has_free_child()
    block.forget_task_of(lambda _: False)
    assert block.has_free_child()


def test_spare_child_is_not_free_while_every_slot_is_taken() -> None:
    block = ControlBlock(3, slots=2)
    for child in (0, 1):
        assert block.has_free_child()
        block.note_task(child)
    assert not block.has_free_child()
    block.note_task_over(0)
    assert block.has_free_child()
