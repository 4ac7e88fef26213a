"""Shared memory between a worker's parent and its children: current executions, and requests to stop them.

It is created before the fork. Each child has a slot with the executions of its message, which run one after another. A
slot's generation is odd while a message uses it and rises with every execution; a request contains the generation, so
that it cannot reach the next execution. Every field is one aligned machine word with a single writer; readers compare
the generation before and after.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from uuid import UUID, uuid4

from scheduling.worker.busy_child import BusyChild, PendingMember
from scheduling.worker.slots import MAX_KIND_BYTES, ChildState, Header, write_bytes

# The longest wait for the parent to settle a dead predecessor in the slot; the lease is the backstop.
HANDOVER_SECONDS = 5.0
HANDOVER_POLL_SECONDS = 0.01


class Cause(StrEnum):
    """Why a running job is requested to stop at its next safe point; the values are those of ``Interrupted.cause``."""

    CANCEL = "cancel"
    DEADLINE = "deadline"
    FENCE_LOST = "fence_lost"
    SHUTDOWN = "shutdown"
    DEPENDENCY = "dependency"


class Seat:
    """A child's use of its slot, from the receipt of a message to the settlement of its last execution."""

    def __init__(self, slot: ChildState, header: Header, execution_ids: Sequence[UUID], hold_id: UUID) -> None:
        self.hold_id = hold_id
        self._slot = slot
        self._header = header
        self._places = {execution_id: place for place, execution_id in enumerate(execution_ids)}
        self._generation = slot.generation
        self._kind: str | None = None  # as stored in the slot

    def note_started(self, fences: Mapping[UUID, int]) -> None:
        """Record the fences of the executions that the database has started, so that the parent can settle them."""
        self._slot.message_began_ns = time.monotonic_ns()
        members = self._slot.members
        for execution_id, fence in fences.items():
            members[self._places[execution_id]].fence = fence
        self._slot.has_fences = 1

    def note_list(self, *, due_in_seconds: float) -> None:
        """Record that the message is a list, and when the parent returns its executions that still wait then."""
        self._slot.due_ns = time.monotonic_ns() + int(due_in_seconds * 1e9)

    def take_turn(self, execution_id: UUID) -> None:
        """Make this execution the current one; requests to the previous one no longer apply."""
        slot = self._slot
        position = self._places[execution_id]
        # `held_slots` reads these in the opposite order, so that it takes no execution for its predecessor.
        slot.fence = slot.timeout_ns = slot.memory_limit_kib = 0
        slot.position = position
        slot.generation += 2
        self._generation = slot.generation
        slot.members[position].began_ns = slot.began_ns = time.monotonic_ns()
        if not slot.has_fences:
            # Each execution of a list begins in the database at its turn.
            slot.message_began_ns = slot.began_ns

    def end_turn(self) -> None:
        """Record that the current execution is done, though not yet settled."""
        self._slot.members[self._slot.position].ended_ns = time.monotonic_ns()

    def note_settled(self, execution_ids: Collection[UUID]) -> None:
        """Record that these executions of the message are settled."""
        members = self._slot.members
        for execution_id in execution_ids:
            members[self._places[execution_id]].fence = 0

    def note_begun(
        self,
        *,
        fence: int,
        attempt: int,
        crash_count: int,
        max_retries: int,
        kind: str,
        timeout_seconds: float,
        memory_limit_mib: int | None = None,
        retry_delay_seconds: float = 0.0,
    ) -> None:
        """Record what the parent needs to end the current execution if the child process dies."""
        slot = self._slot
        slot.attempt, slot.crash_count = attempt, crash_count
        slot.max_retries, slot.retry_delay_ms = max_retries, int(retry_delay_seconds * 1_000)
        if kind != self._kind:  # all members of a message are of one kind
            self._kind = kind
            write_bytes(slot.kind, kind.encode()[:MAX_KIND_BYTES])
        slot.cpu_began_us = time.process_time_ns() // 1_000
        slot.began_ns, slot.timeout_ns = time.monotonic_ns(), int(timeout_seconds * 1_000_000_000)
        slot.memory_limit_kib = 0 if memory_limit_mib is None else max(1, memory_limit_mib * 1_024)
        slot.begun_executions += 1
        # Last: the parent acts on a slot only once it has a fence.
        slot.fence = fence

    def interruption(self) -> Cause | None:
        """Return why the current execution should stop at its next safe point, or None; only reads memory."""
        slot = self._slot
        if slot.fence_lost_for == self._generation:
            return Cause.FENCE_LOST
        if slot.cancel_for == self._generation:
            return Cause.CANCEL
        if slot.deadline_for == self._generation:
            return Cause.DEADLINE
        return Cause.SHUTDOWN if self._header.is_stopping else None

    @property
    def is_yield_requested(self) -> bool:
        """Return whether the job should yield at the next safe point; only reads memory."""
        return bool(self._slot.yield_for == self._generation)

    def release(self) -> None:
        """Free the slot, because the message's executions are settled or were never started."""
        if self._slot.generation == self._generation:
            self._slot.generation += 1


class ControlBlock:
    """The shared memory of a worker: one slot for each child, of which ``slots`` work at once, by default all."""

    def __init__(self, children: int, *, slots: int | None = None) -> None:
        self._memory = mmap.mmap(-1, ctypes.sizeof(Header) + children * ctypes.sizeof(ChildState))
        self._header = Header.from_buffer(self._memory)
        self._slots = (ChildState * children).from_buffer(self._memory, ctypes.sizeof(Header))
        self._at_once = children if slots is None else slots

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def is_stopping(self) -> bool:
        """Return whether this worker accepts no new jobs and stops its running ones."""
        return bool(self._header.is_stopping)

    def stop(self) -> None:
        """Request every running job to stop at its next safe point, and refuse new ones."""
        self._header.is_stopping = 1

    def take_seat(self, index: int, execution_ids: Sequence[UUID]) -> Seat:
        """Take the slot ``index`` for the executions of a message, in their order, with a new hold."""
        slot = self._slots[index]
        until = time.monotonic() + HANDOVER_SECONDS
        while slot.generation % 2 and slot.pid != os.getpid() and time.monotonic() < until:
            time.sleep(HANDOVER_POLL_SECONDS)
        if slot.generation % 2:
            slot.generation += 1
        slot.fence = slot.timeout_ns = slot.memory_limit_kib = slot.has_fences = slot.due_ns = 0
        slot.pid = os.getpid()
        hold_id = uuid4()
        write_bytes(slot.hold_id, hold_id.bytes)
        slot.assign_members(execution_ids)
        slot.began_ns = time.monotonic_ns()
        slot.generation += 1
        return Seat(slot, self._header, execution_ids, hold_id)

    def held_slots(self) -> Iterator[BusyChild]:
        """Yield the children that have a message at this moment, each read consistently."""
        for index in range(len(self._slots)):
            if (held := self.read_slot(index)) is not None:
                yield held

    def read_slot(self, index: int) -> BusyChild | None:
        """Return the child in a slot as it is now; None if it has no message, or changes while it is read."""
        slot = self._slots[index]
        generation = slot.generation
        if generation % 2 == 0:
            return None
        held = BusyChild(
            index=index,
            generation=generation,
            pid=slot.pid,
            execution_id=slot.members[slot.position].read_id(),
            fence=slot.fence,
            attempt=slot.attempt,
            crash_count=slot.crash_count,
            max_retries=slot.max_retries,
            kind=bytes(slot.kind).rstrip(b"\0").decode(errors="replace"),
            began_ns=slot.began_ns,
            timeout_ns=slot.timeout_ns,
            retry_delay_seconds=slot.retry_delay_ms / 1_000,
            memory_limit_kib=slot.memory_limit_kib,
            cpu_began_us=slot.cpu_began_us,
            size=slot.size,
            waited_us=max(0, slot.began_ns - slot.message_began_ns) // 1_000,
            hold_id=UUID(bytes=bytes(slot.hold_id)),
            has_fences=bool(slot.has_fences),
            due_ns=slot.due_ns,
        )
        return held if slot.generation == generation else None

    def members_of(self, held: BusyChild) -> list[PendingMember]:
        """Return the started and unsettled executions of the child's message, in order."""
        slot = self._slots[held.index]
        now_ns = time.monotonic_ns()
        return [
            PendingMember(
                member.read_id(),
                member.fence,
                (member.began_ns - slot.message_began_ns) // 1_000 if member.began_ns else None,
                ((member.ended_ns or now_ns) - member.began_ns) // 1_000 if member.began_ns else 0,
            )
            for member in slot.members[: held.size]
            if member.fence
        ]

    def ids_of(self, held: BusyChild) -> list[UUID]:
        """Return all executions of the child's message, in order, including settled ones and those of other workers."""
        return [member.read_id() for member in self._slots[held.index].members[: held.size]]

    def ask(self, held: BusyChild, cause: Cause) -> None:
        """Request one execution to stop at its next safe point."""
        setattr(self._slots[held.index], f"{cause.value}_for", held.generation)

    def request_yield(self, held: BusyChild, *, is_requested: bool) -> None:
        """Request a yield of one execution at its next safe point, or withdraw the request."""
        self._slots[held.index].yield_for = held.generation if is_requested else 0

    @property
    def begun_executions(self) -> int:
        """Return how many executions the children have begun since the worker's start."""
        return sum(slot.begun_executions for slot in self._slots)

    def note_task(self, index: int) -> None:
        """Record that the calling child processes a message of any kind, executions or upkeep."""
        self._slots[index].task_pid = os.getpid()

    def note_task_over(self, index: int) -> None:
        """Record that the calling child has ended that message."""
        self._slots[index].task_pid = 0

    def has_free_child(self, at_once: int = 0) -> bool:
        """Return whether fewer than ``at_once`` children have a message; by default, fewer than may work at once."""
        return len([slot for slot in self._slots if slot.generation % 2 or slot.task_pid]) < (at_once or self._at_once)

    def forget_task_of(self, is_alive: Callable[[int], bool]) -> None:
        """Mark children as free that died while they processed a message without executions."""
        for slot in self._slots:
            if slot.task_pid and not is_alive(slot.task_pid):
                slot.task_pid = 0

    def send_canary(self) -> int:
        """Count a new canary, and return its number."""
        self._header.canary_sent += 1
        return int(self._header.canary_sent)

    def answer_canary(self, number: int) -> None:
        """Record that a child has read canary ``number``; ignore one that was never sent or is already answered."""
        if self._header.canary_answered < number <= self._header.canary_sent:
            self._header.canary_answered_ns = time.monotonic_ns()
            self._header.canary_answered = number

    @property
    def canary_answered(self) -> int:
        """Return the number of the newest canary that was answered; 0 before the first."""
        return int(self._header.canary_answered)

    @property
    def canary_age_seconds(self) -> float | None:
        """Return the seconds since a canary was last answered; None before the first answer."""
        at = self._header.canary_answered_ns
        return (time.monotonic_ns() - at) / 1e9 if at else None

    def vacate(self, held: BusyChild) -> None:
        """Free the slot of a child that died with a message."""
        slot = self._slots[held.index]
        if slot.generation == held.generation:
            slot.generation += 1
