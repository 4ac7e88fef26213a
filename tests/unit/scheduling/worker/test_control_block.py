"""Shared memory between a worker's parent and its children."""

from __future__ import annotations

import os
import time
from uuid import UUID, uuid4

import pytest

from scheduling.worker import control_block
from scheduling.worker.busy_child import BusyChild
from scheduling.worker.control_block import Cause, ControlBlock, Seat

FIRST = UUID("01920000-0000-7000-8000-000000000001")
SECOND = UUID("01920000-0000-7000-8000-000000000002")
THIRD = UUID("01920000-0000-7000-8000-000000000003")
MEMBERS = (FIRST, SECOND, THIRD)


@pytest.fixture
def block() -> ControlBlock:
    return ControlBlock(2)


def begin_alone(block: ControlBlock, execution_id: UUID = FIRST, index: int = 0) -> Seat:
    seat = block.take_seat(index, [execution_id])
    seat.note_begun(fence=7, attempt=2, crash_count=1, max_retries=3, kind="sleep", timeout_seconds=1.5)
    return seat


def begin_message(block: ControlBlock) -> Seat:
    """Return a seat with three executions that the database assigned."""
    seat = block.take_seat(0, MEMBERS)
    seat.note_started({member: 10 + place for place, member in enumerate(MEMBERS)})
    return seat


def begin(seat: Seat, place: int) -> None:
    """Begin one of them at its turn."""
    seat.take_turn(MEMBERS[place])
    seat.note_begun(fence=10 + place, attempt=1, crash_count=0, max_retries=3, kind="noop", timeout_seconds=1)


def only(block: ControlBlock) -> BusyChild:
    (held,) = block.held_slots()
    return held


def test_new_block_has_no_held_slots(block: ControlBlock) -> None:
    assert len(block) == 2
    assert list(block.held_slots()) == []


def test_parent_reads_what_a_child_runs(block: ControlBlock) -> None:
    begin_alone(block, index=1)
    held = only(block)
    assert (held.index, held.pid, held.execution_id, held.fence) == (1, os.getpid(), FIRST, 7)
    assert (held.attempt, held.crash_count, held.max_retries, held.kind) == (2, 1, 3, "sleep")
    assert held.timeout_ns == 1_500_000_000


def test_memory_limit_belongs_to_one_execution(block: ControlBlock) -> None:
    seat = block.take_seat(0, [FIRST])
    seat.note_begun(fence=1, attempt=1, crash_count=0, max_retries=0, kind="a", timeout_seconds=1, memory_limit_mib=2)
    assert only(block).memory_limit_kib == 2_048
    seat.release()
    begin_alone(block)
    assert only(block).memory_limit_kib == 0


def test_execution_without_fence_has_not_begun(block: ControlBlock) -> None:
    block.take_seat(0, [FIRST])
    assert not only(block).has_begun


def test_released_seat_is_free(block: ControlBlock) -> None:
    begin_alone(block).release()
    assert list(block.held_slots()) == []


@pytest.mark.parametrize("cause", [Cause.CANCEL, Cause.DEADLINE, Cause.FENCE_LOST])
def test_interruption_reaches_its_execution(block: ControlBlock, cause: Cause) -> None:
    seat = begin_alone(block)
    assert seat.interruption() is None
    block.ask(only(block), cause)
    assert seat.interruption() is cause


def test_interruption_does_not_reach_the_next_execution(block: ControlBlock) -> None:
    first = begin_alone(block)
    held = only(block)
    first.release()
    second = begin_alone(block, SECOND)
    block.ask(held, Cause.CANCEL)
    assert second.interruption() is None


def test_yield_request_can_be_withdrawn(block: ControlBlock) -> None:
    seat = begin_alone(block)
    assert not seat.is_yield_requested
    block.request_yield(only(block), is_requested=True)
    assert seat.is_yield_requested
    assert seat.interruption() is None  # it continues to its next safe point, and then yields with its state
    block.request_yield(only(block), is_requested=False)
    assert not seat.is_yield_requested


def test_yield_request_does_not_reach_the_next_execution(block: ControlBlock) -> None:
    first = begin_alone(block)
    held = only(block)
    block.request_yield(held, is_requested=True)
    first.release()
    second = begin_alone(block, SECOND)
    assert not second.is_yield_requested
    block.request_yield(held, is_requested=True)
    assert not second.is_yield_requested


def test_stopping_worker_interrupts_every_execution(block: ControlBlock) -> None:
    seats = [begin_alone(block, FIRST, 0), begin_alone(block, SECOND, 1)]
    block.stop()
    assert [seat.interruption() for seat in seats] == [Cause.SHUTDOWN, Cause.SHUTDOWN]


def test_lost_fence_takes_precedence_over_cancel(block: ControlBlock) -> None:
    seat = begin_alone(block)
    block.ask(only(block), Cause.CANCEL)
    block.ask(only(block), Cause.FENCE_LOST)
    assert seat.interruption() is Cause.FENCE_LOST


def test_late_release_does_not_free_the_seat_of_a_successor(block: ControlBlock) -> None:
    first = begin_alone(block)
    block.vacate(only(block))
    begin_alone(block, SECOND)
    first.release()
    assert only(block).execution_id == SECOND


def test_vacate_of_a_reused_seat_changes_nothing(block: ControlBlock) -> None:
    first = begin_alone(block)
    held = only(block)
    first.release()
    begin_alone(block, SECOND)
    block.vacate(held)
    assert only(block).execution_id == SECOND


def test_successor_waits_for_settlement_of_dead_predecessor(
    block: ControlBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    predecessor = os.getpid() + 1
    with monkeypatch.context() as patch:
        patch.setattr(control_block.os, "getpid", lambda: predecessor)
        begin_alone(block)
    looks = []

    def parent_settles_at_the_third_look(_seconds: float) -> None:
        looks.append(1)
        if len(looks) == 3:
            block.vacate(only(block))

    monkeypatch.setattr(control_block.time, "sleep", parent_settles_at_the_third_look)
    begin_alone(block, SECOND)
    assert len(looks) == 3
    assert only(block).execution_id == SECOND


def test_forked_child_writes_to_the_block_of_the_parent(block: ControlBlock) -> None:
    execution_id = uuid4()
    child = os.fork()
    if child == 0:
        begin_alone(block, execution_id)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert (only(block).execution_id, only(block).pid) == (execution_id, child)


def test_kind_of_full_length_is_stored_whole(block: ControlBlock) -> None:
    seat = block.take_seat(0, [FIRST])
    seat.note_begun(fence=1, attempt=1, crash_count=0, max_retries=0, kind="k" * 64, timeout_seconds=1)
    assert only(block).kind == "k" * 64


def test_parent_reads_current_and_waiting_members(block: ControlBlock) -> None:
    seat = begin_message(block)
    begin(seat, 0)
    seat.end_turn()
    begin(seat, 1)
    held = only(block)
    assert (held.execution_id, held.fence, held.is_merged) == (SECOND, 11, True)
    first, second, third = block.members_of(held)
    assert [member.fence for member in (first, second, third)] == [10, 11, 12]
    assert first.began_us is not None
    assert second.began_us is not None
    assert first.began_us <= second.began_us
    assert (third.began_us, third.measured_us) == (None, 0)


def test_begun_executions_are_counted_over_children_and_messages(block: ControlBlock) -> None:
    assert block.begun_executions == 0
    seat = begin_message(block)
    begin(seat, 0)
    begin(seat, 1)
    seat.release()
    begin_alone(block, uuid4())
    assert block.begun_executions == 3


def test_no_member_has_begun_between_two_turns(block: ControlBlock) -> None:
    seat = begin_message(block)
    begin(seat, 0)
    seat.take_turn(SECOND)
    assert not only(block).has_begun


def test_interruption_of_a_member_does_not_reach_the_next(block: ControlBlock) -> None:
    seat = begin_message(block)
    begin(seat, 0)
    held = only(block)
    block.ask(held, Cause.CANCEL)
    assert seat.interruption() is Cause.CANCEL
    begin(seat, 1)
    assert seat.interruption() is None
    block.ask(held, Cause.FENCE_LOST)
    assert seat.interruption() is None


def test_unstarted_and_settled_members_are_not_listed(block: ControlBlock) -> None:
    seat = block.take_seat(0, MEMBERS)
    seat.note_started({FIRST: 1, THIRD: 3})
    assert [member.execution_id for member in block.members_of(only(block))] == [FIRST, THIRD]
    begin(seat, 2)
    assert only(block).execution_id == THIRD
    seat.note_settled([FIRST])
    assert [member.execution_id for member in block.members_of(only(block))] == [THIRD]


def test_members_of_a_message_do_not_remain_for_the_next(block: ControlBlock) -> None:
    seat = begin_message(block)
    begin(seat, 2)
    seat.release()
    begin_alone(block)
    held = only(block)
    assert (held.execution_id, held.is_merged) == (FIRST, False)
    assert block.members_of(held) == []


def test_each_receipt_of_a_message_has_a_hold_of_its_own(block: ControlBlock) -> None:
    seat = begin_alone(block)
    assert only(block).hold_id == seat.hold_id
    seat.release()
    assert block.take_seat(0, [FIRST]).hold_id != seat.hold_id


def test_list_has_no_fences_and_is_due_after_its_time(block: ControlBlock) -> None:
    seat = block.take_seat(0, MEMBERS)
    before_ns = time.monotonic_ns()
    seat.note_list(due_in_seconds=2.0)
    held = only(block)
    assert not held.has_fences
    assert held.due_ns >= before_ns + 2_000_000_000
    assert not held.is_overdue(held.due_ns)
    assert held.is_overdue(held.due_ns + 1)
    seat.release()
    # The next message is none.
    begin_message(block)
    assert (only(block).has_fences, only(block).due_ns) == (True, 0)
    assert not only(block).is_overdue(held.due_ns + 1)


def test_heartbeat_names_all_executions_of_a_message(block: ControlBlock) -> None:
    begin_message(block)
    assert block.ids_of(only(block)) == list(MEMBERS)
