"""Settlements by the parent for a child that died or was ended in the middle of a message."""

from __future__ import annotations

import pytest

from scheduling.execution.holds import HeldExecution
from scheduling.execution.settlement import Settlement
from scheduling.worker.child_exit import (
    ExitCause,
    settlements_for_exited_child,
    settlements_of_hold,
    settlements_of_overdue,
)
from scheduling.worker.control_block import ControlBlock, Seat
from tests.unit.scheduling.worker.test_control_block import MEMBERS, begin, begin_message, only


def end(block: ControlBlock, finding: ExitCause) -> dict[int, Settlement]:
    """Return the settlements by their place in the message."""
    held = only(block)
    found = settlements_for_exited_child(held, block.members_of(held), finding)
    return {MEMBERS.index(settlement.execution_id): settlement for settlement in found}


@pytest.fixture
def block() -> ControlBlock:
    return ControlBlock(1)


@pytest.fixture
def seat(block: ControlBlock) -> Seat:
    """Return the seat of a message of three: the first is done, the second runs, the third waits."""
    seat = begin_message(block)
    begin(seat, 0)
    seat.end_turn()
    begin(seat, 1)
    return seat


def test_crash_in_merged_message_returns_all_members_unmerged(block: ControlBlock, seat: Seat) -> None:
    found = end(block, ExitCause.CRASHED)
    assert set(found) == {0, 1, 2}
    assert {(one.outcome, one.state, one.crash_delta) for one in found.values()} == {("crashed", "available", 0)}
    assert all(one.merge_disabled for one in found.values())
    assert found[2].began_us is None
    assert found[2].measured_us == 0
    assert found[0].began_us is not None


def test_crash_of_the_last_member_counts_for_it(block: ControlBlock, seat: Seat) -> None:
    seat.note_settled([MEMBERS[0], MEMBERS[2]])
    found = end(block, ExitCause.CRASHED)
    assert set(found) == {1}
    assert (found[1].crash_delta, found[1].merge_disabled) == (1, False)


@pytest.mark.parametrize(
    ("finding", "outcome"),
    [(ExitCause.TIMED_OUT, "timed_out"), (ExitCause.CANCELLED, "cancelled"), (ExitCause.EXPIRED, "expired")],
)
def test_end_of_one_member_returns_the_others_uncounted(
    block: ControlBlock, seat: Seat, finding: ExitCause, outcome: str
) -> None:
    found = end(block, finding)
    assert [found[place].outcome for place in (0, 1, 2)] == ["returned", outcome, "returned"]
    assert not any(one.merge_disabled for one in found.values())


@pytest.mark.parametrize(
    ("finding", "error_type"),
    [
        (ExitCause.BLOCKED, "loop_blocked"),
        (ExitCause.STALLED, "loop_blocked"),
        (ExitCause.TASKS_LEFT, "tasks_left"),
        (ExitCause.TIMED_OUT, "timed_out"),
    ],
)
def test_culprit_of_a_shared_process_fails(
    block: ControlBlock, seat: Seat, finding: ExitCause, error_type: str
) -> None:
    assert end(block, finding)[1].error_type == error_type


def test_stopping_worker_returns_all_members(block: ControlBlock, seat: Seat) -> None:
    assert {one.outcome for one in end(block, ExitCause.SHUT_DOWN).values()} == {"shutdown"}


def test_superseded_member_is_not_settled(block: ControlBlock, seat: Seat) -> None:
    assert set(end(block, ExitCause.SUPERSEDED)) == {0, 2}


def test_unstarted_members_are_not_settled(block: ControlBlock) -> None:
    block.take_seat(0, MEMBERS)
    assert end(block, ExitCause.CRASHED) == {}


@pytest.mark.parametrize("delay_seconds", [30.0, 0.0, 86_400.0])
def test_timed_out_job_has_the_retry_delay_of_its_child(block: ControlBlock, delay_seconds: float) -> None:
    seat = block.take_seat(0, MEMBERS[:1])
    seat.note_begun(
        fence=7,
        attempt=2,
        crash_count=0,
        max_retries=3,
        kind="of-a-plug-in-that-the-parent-does-not-have",
        timeout_seconds=1,
        retry_delay_seconds=delay_seconds,
    )
    (settlement,) = settlements_for_exited_child(only(block), [], ExitCause.TIMED_OUT)
    assert settlement.due_in_seconds is not None
    assert 0.9 * delay_seconds <= settlement.due_in_seconds <= 1.1 * delay_seconds


@pytest.mark.parametrize("finding", [ExitCause.CRASHED, ExitCause.SHUT_DOWN])
def test_job_waiting_for_its_slot_has_not_begun(block: ControlBlock, finding: ExitCause) -> None:
    seat = block.take_seat(0, MEMBERS[:1])
    assert end(block, finding) == {}
    seat.note_started({MEMBERS[0]: 10})
    (found,) = end(block, finding).values()
    assert (found.fence, found.state, found.crash_delta, found.attempt_delta) == (10, "available", 0, 0)
    assert (found.outcome == "returned") is (finding is ExitCause.CRASHED)


# What the database has of a list of three whose first is settled.
LEFT = [HeldExecution(MEMBERS[1], 11, has_begun=True), HeldExecution(MEMBERS[2], 0, has_begun=False)]


@pytest.fixture
def of_list(block: ControlBlock) -> Seat:
    """Return the seat of a list of three, of which the second runs."""
    seat = block.take_seat(0, MEMBERS)
    seat.note_list(due_in_seconds=1.0)
    begin(seat, 0)
    begin(seat, 1)
    return seat


@pytest.mark.parametrize(
    ("finding", "outcome", "crash_delta"),
    [
        (ExitCause.CRASHED, "crashed", 1),
        (ExitCause.TIMED_OUT, "timed_out", 0),
        (ExitCause.CANCELLED, "cancelled", 0),
        (ExitCause.SHUT_DOWN, "shutdown", 0),
    ],
)
def test_end_of_a_list_concerns_only_its_current_member(
    block: ControlBlock, of_list: Seat, finding: ExitCause, outcome: str, crash_delta: int
) -> None:
    back, current = settlements_of_hold(only(block), LEFT, finding)
    assert (back.execution_id, back.fence, back.outcome) == (MEMBERS[2], 0, "returned")
    assert (current.execution_id, current.fence, current.outcome) == (MEMBERS[1], 11, outcome)
    assert (current.crash_delta, current.merge_disabled) == (crash_delta, False)
    # It has not waited since the beginning of the list.
    assert current.began_us is not None
    assert current.began_us < 1_000_000


def test_superseded_member_of_a_list_is_not_settled(block: ControlBlock, of_list: Seat) -> None:
    assert [one.execution_id for one in settlements_of_hold(only(block), LEFT, ExitCause.SUPERSEDED)] == [MEMBERS[2]]


def test_settled_member_of_a_list_is_not_settled_again(block: ControlBlock, of_list: Seat) -> None:
    """The child died after the settlement of the second, which began the third."""
    left = [HeldExecution(MEMBERS[2], 1, has_begun=True)]
    (back,) = settlements_of_hold(only(block), left, ExitCause.CRASHED)
    assert (back.execution_id, back.fence, back.outcome, back.crash_delta) == (MEMBERS[2], 1, "returned", 0)


def test_member_that_began_but_did_not_run_is_returned(block: ControlBlock) -> None:
    """The child died before it had the answer of its start."""
    block.take_seat(0, MEMBERS)
    held = only(block)
    assert not held.has_fences
    left = [HeldExecution(MEMBERS[0], 1, has_begun=True), HeldExecution(MEMBERS[1], 0, has_begun=False)]
    found = settlements_of_hold(held, left, ExitCause.CRASHED)
    assert [(one.fence, one.outcome, one.crash_delta) for one in found] == [(1, "returned", 0), (0, "returned", 0)]


def test_waiting_members_of_an_overdue_list_are_returned() -> None:
    (back,) = settlements_of_overdue(LEFT)
    assert (back.execution_id, back.fence, back.outcome) == (MEMBERS[2], 0, "returned")
