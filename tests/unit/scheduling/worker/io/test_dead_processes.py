"""What the parent settles for the executions of a dead process of coroutines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from scheduling.execution.settlement import Settlement
from scheduling.worker.child_exit import ExitCause
from scheduling.worker.control_block import ControlBlock
from scheduling.worker.io import watch
from scheduling.worker.io.state import MOST_ABANDONED, ProcessState

DELAYED = ("returned", "scheduled", watch.UNBLAMED_DELAY_SECONDS)
RETURNED = ("returned", "available", None)
CRASHED = ("crashed", "available", None)


def dead_process() -> Any:
    """Return a process whose seats this test takes: its own pid is no child's."""
    return SimpleNamespace(state=ProcessState(), pid=os.getpid(), vacated=None)


class Parent:
    """A watch of one dead process, and the settlements that it has stored."""

    def __init__(self) -> None:
        self.block = ControlBlock(3)
        self.process = dead_process()
        self.stored: list[Settlement] = []
        self.poison: UUID | None = None
        worker: Any = SimpleNamespace(block=self.block, registration=SimpleNamespace(memory_mib=512))
        self.watch = watch.IoWatch(worker, [self.process])

    def settle(self, settlements: Sequence[Settlement]) -> None:
        if any(one.execution_id == self.poison for one in settlements):
            raise ValueError("odd")
        self.stored += settlements

    def run(self, *, has_begun: bool = True) -> UUID:
        """Let an execution run in the next seat, and return its id."""
        seat, execution_id = sum(1 for _ in self.block.held_slots()), uuid4()
        held = self.block.take_seat(seat, [execution_id])
        held.note_started({execution_id: 1})
        if has_begun:
            held.note_begun(fence=1, attempt=1, crash_count=0, max_retries=3, kind="x", timeout_seconds=60)
        return execution_id

    def settled(self) -> list[tuple[str, str, float | None]]:
        self.watch.look()
        assert list(self.block.held_slots()) == []
        return [(one.outcome, one.state, one.due_in_seconds) for one in self.stored]


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Parent:
    parent = Parent()
    monkeypatch.setattr(watch, "settle", parent.settle)
    return parent


def test_only_execution_of_a_dead_process_is_its_culprit(parent: Parent) -> None:
    parent.run()
    assert parent.settled() == [CRASHED]


def test_only_execution_is_not_blamed_for_a_stop(parent: Parent) -> None:
    parent.run()
    parent.block.stop()
    assert [outcome for outcome, _, _ in parent.settled()] == ["shutdown"]


def test_executions_without_a_known_culprit_are_named_and_returned_after_a_delay(
    parent: Parent, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [parent.run(), parent.run()]
    assert parent.settled() == [DELAYED, DELAYED]
    (record,) = [one for one in caplog.records if one.msg == "io_process.ended"]
    assert vars(record)["execution_ids"] == [str(one) for one in ids]


def test_only_execution_that_had_not_begun_is_returned_after_a_delay(parent: Parent) -> None:
    parent.run(has_begun=False)
    assert parent.settled() == [DELAYED]


def test_executions_beside_a_known_culprit_are_returned_at_once(parent: Parent) -> None:
    parent.run()
    parent.run()
    parent.process.state.running_seat = 2
    assert parent.settled() == [RETURNED, CRASHED]


def test_all_executions_that_did_not_end_are_settled_by_their_own_causes(parent: Parent) -> None:
    for _ in range(3):
        parent.run()
    state = parent.process.state
    for seat, cause in [(2, ExitCause.TIMED_OUT), (0, ExitCause.CANCELLED), (2, ExitCause.TASKS_LEFT)]:
        state.abandon(seat, cause)
    assert state.abandoned == {2: ExitCause.TIMED_OUT, 0: ExitCause.CANCELLED}
    assert [outcome for outcome, _, _ in parent.settled()] == ["cancelled", "returned", "timed_out"]


def test_only_so_many_executions_that_do_not_end_are_named() -> None:
    state = ProcessState()
    for seat in range(MOST_ABANDONED + 1):
        state.abandon(seat, ExitCause.TIMED_OUT)
    assert state.abandoned == dict.fromkeys(range(MOST_ABANDONED), ExitCause.TIMED_OUT)


def test_failed_statement_is_repeated_for_each_execution_and_the_failed_one_left_to_its_lease(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "connection", SimpleNamespace(is_usable=lambda: True))
    ids = [parent.run() for _ in range(3)]
    parent.poison = ids[1]
    assert parent.settled() == [DELAYED, DELAYED]
    assert [one.execution_id for one in parent.stored] == [ids[0], ids[2]]
    assert parent.process.vacated == {0, 1, 2}


def test_nothing_is_left_to_leases_while_the_database_is_away(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "connection", SimpleNamespace(is_usable=lambda: False))
    parent.poison = parent.run()
    with pytest.raises(ValueError, match="odd"):
        parent.watch.look()
    assert parent.process.vacated is None
    parent.poison = None
    assert parent.settled() == [CRASHED]
