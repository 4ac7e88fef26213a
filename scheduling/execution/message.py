"""The processing of one message in a child process: start its executions, run them one after another, settle, announce.

The statement that settles them also charges their time. Announcements (telemetry, the wake of the dispatcher) are sent
after its commit.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import structlog

from scheduling import tracing
from scheduling.conf import SMALL_US
from scheduling.dispatch.broker import announce_ending
from scheduling.dispatch.claim import give_back_token
from scheduling.execution import settlement_builders
from scheduling.execution.merged_message import MergedMessage
from scheduling.execution.prefetch_list import OVERDUE_SECONDS, PrefetchList
from scheduling.execution.processing import ExecutionResult, log_writer_of, run_execution, settle_with_effects
from scheduling.execution.settling import settle_together
from scheduling.execution.start import StartedExecution, StartedTurn, announce_starts, start_executions
from scheduling.kit import registry
from scheduling.kit.runtime import running_tenant
from scheduling.worker.control_block import Seat
from scheduling.worker.local_worker import LocalWorker
from scheduling.worker.process_state import (
    check_connection,
    drop_open_transaction,
    has_failed,
    is_exhausted,
    retry_on_disconnect,
)

logger = logging.getLogger(__name__)

# A start that the database does not accept within this time is left to be published again.
START_PATIENCE_SECONDS = 5.0
EXIT_SPOILED = 1
NO_SLOT = "its slot did not come free"
# A shorter job announces no end, and if its kind may be merged, it is measured by its own work.
SMALL_SECONDS = SMALL_US / 1e6
# Small jobs announce the end when this much of their message is left, by the times of those that have run.
ANNOUNCED_EARLY_SECONDS = 0.025
# Whether the last job of a kind in this process ended when it was predicted to end: then the next is trusted to.
_was_foreseen: dict[str, bool] = {}


@dataclass(slots=True)
class SlotUse:
    """A message's use of a slot; it ends with the work, so that the next message starts while this one is settled."""

    worker: LocalWorker
    child_index: int
    token: UUID
    queue: str
    _announced_after: float = -math.inf
    # An end may be announced ahead by a timer's thread.
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _is_over: bool = False

    @property
    def is_given_back(self) -> bool:
        """Return whether the slot was released after its end was announced."""
        return self._is_over and self._announced_after > -math.inf

    def begin(self) -> float | None:
        """Wait for the slot; return the seconds waited, or None if it did not become free in time."""
        asked = time.monotonic()
        return time.monotonic() - asked if self.worker.permits.acquire(self.child_index) else None

    def announce_end(self, *, after_seconds: float, left_seconds: float = 0.0) -> None:
        """Announce to the dispatcher and to the parent process that the work ends now or in ``left_seconds``.

        Do nothing if the work was too short or the worker is stopping. It is announced once, and again if the rest
        takes longer than announced.
        """
        if after_seconds + left_seconds < SMALL_SECONDS or self.worker.block.is_stopping:
            return
        with self._guard:
            if not self._is_over and after_seconds - self._announced_after > 2 * ANNOUNCED_EARLY_SECONDS:
                announce_ending(self.token, self.queue)
                self.worker.permits.announce_end(self.child_index)
                self._announced_after = after_seconds

    @contextmanager
    def announced_ahead(self, started: StartedExecution) -> Iterator[None]:
        """Announce the end of a job shortly before it is predicted, if the last job of its kind ended as predicted."""
        began, expected, timer = time.monotonic(), started.expected_us / 1e6, None
        early = expected - ANNOUNCED_EARLY_SECONDS
        if early > 0 and _was_foreseen.get(started.kind, False):
            announcement = {"after_seconds": early, "left_seconds": ANNOUNCED_EARLY_SECONDS}
            timer = threading.Timer(early, self.announce_end, kwargs=announcement)
            timer.daemon = True
            # Without a free thread the end is announced when it comes.
            with suppress(RuntimeError):
                timer.start()
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
                # A call that has begun ends before the child takes its next message.
                with suppress(RuntimeError):
                    timer.join()
            _was_foreseen[started.kind] = abs(time.monotonic() - began - expected) <= ANNOUNCED_EARLY_SECONDS

    def end(self, *, after_seconds: float) -> None:
        """Release the slot, because the work is done and only has to be settled."""
        self.announce_end(after_seconds=after_seconds)
        with self._guard:
            self._is_over = True
            self.worker.permits.release(self.child_index)


def execute(*, execution_ids: Sequence[UUID], token: UUID, child_index: int, worker: LocalWorker) -> None:
    """Run and settle the executions of a message; log and skip those that are unknown or have a newer token.

    Raise SystemExit, so that the child process is replaced, if a job has left it in a bad state, or if a message failed
    in it for another reason than an unavailable database.
    """
    check_connection()
    seat = worker.block.take_seat(child_index, execution_ids)
    try:
        is_spoiled = run(worker, execution_ids, token, child_index, seat)
    except Exception as error:
        if has_failed(error):
            # The parent finds the slot held by a dead child, and settles what is left.
            raise SystemExit(EXIT_SPOILED) from error
        # These no longer run: their lease must not be renewed.
        seat.release()
        raise
    finally:
        worker.permits.finish(child_index)
    # Not in a `finally`: while this process is being ended, the parent must still find the slot held.
    seat.release()
    if is_spoiled or is_exhausted():
        logger.warning("child.replaced")
        raise SystemExit(EXIT_SPOILED)


def run(worker: LocalWorker, execution_ids: Sequence[UUID], token: UUID, child_index: int, seat: Seat) -> bool:
    """Start and run the executions of a message; return whether a job has left this process in a bad state."""
    started = start(worker, execution_ids, token, seat.hold_id)
    if len(started) < len(execution_ids):
        logger.info("execution.not_started", extra={"executions": len(execution_ids) - len(started)})
    if not started:
        return False
    is_list = started[0].is_list and len(execution_ids) > 1
    if is_list:
        seat.note_list(due_in_seconds=sum(one.expected_us for one in started) / 1e6 + OVERDUE_SECONDS)
    else:
        seat.note_started({one.execution_id: one.fence for one in started})
    use = SlotUse(worker, child_index, token, started[0].queue)
    waited_seconds = use.begin()
    if waited_seconds is None:
        return_unstarted(started, seat)
        return False
    if len(execution_ids) == 1:
        return run_alone(started[0], seat, use, waited_seconds=waited_seconds)
    if is_list:
        return run_list(PrefetchList(started, seat, worker, waited_seconds=waited_seconds), use)
    return run_merged(MergedMessage(started, seat, waited_seconds=waited_seconds), use)


def start(worker: LocalWorker, execution_ids: Sequence[UUID], token: UUID, hold_id: UUID) -> list[StartedExecution]:
    """Start the executions of a message that may be started; try for START_PATIENCE_SECONDS if the database is away."""
    worker_id = worker.registration.worker_id
    return retry_on_disconnect(
        lambda: start_executions(execution_ids=execution_ids, token=token, worker_id=worker_id, hold_id=hold_id),
        give_up_after_seconds=START_PATIENCE_SECONDS,
    )


def return_unstarted(started: Sequence[StartedExecution], seat: Seat) -> None:
    """Settle executions as returned, to be dispatched again, because their slot did not become free."""
    returned = [settlement_builders.returned(one.execution_id, one.fence, cause=NO_SLOT) for one in started]
    # Jobs of a queue with a rate have a message of their own.
    is_alone = len(started) == 1
    settle_together(returned, before=partial(give_back_token, queue=started[0].queue) if is_alone else None)
    seat.note_settled([one.execution_id for one in started])


def run_alone(started: StartedExecution, seat: Seat, use: SlotUse, *, waited_seconds: float) -> bool:
    """Run and settle the only execution of a message; return whether it has left this process in a bad state."""
    began = time.monotonic()
    announce_starts([StartedTurn.of(started, after_seconds=waited_seconds)])
    with execution_context(started) as span:
        with use.announced_ahead(started):
            work = run_execution(started, seat, span, log_writer_of(started))
        if work.pending.effects is not None:
            _was_foreseen[started.kind] = False
        # Effects may take any time: they keep the slot until they are settled.
        if work.pending.settlement is not None and work.pending.effects is None and not work.is_spoiled:
            use.end(after_seconds=time.monotonic() - began)
        measured_us = measure_alone(work, elapsed_seconds=time.monotonic() - began)
        began_us, is_announced = int(waited_seconds * 1e6), use.is_given_back
        pending = work.with_costs(began_us=began_us, measured_us=measured_us, is_end_announced=is_announced)
        settle_with_effects(pending, started)
        # Lines of the settlement's effects, or those that an unavailable database did not accept.
        work.log.flush()
    return work.is_spoiled


def measure_alone(work: ExecutionResult, *, elapsed_seconds: float) -> int:
    """Return the slot time in microseconds of a job that had a message of its own.

    A small job of a kind that may be merged is measured by its own work, as in a merged message; otherwise it would
    seem too long to be merged from now on. Other jobs also pay for the work that this worker does for them alone.
    """
    is_small = work.seconds < SMALL_SECONDS and registry.is_mergeable(work.started.kind)
    return int((work.seconds if is_small else elapsed_seconds) * 1e6)


def run_merged(turns: MergedMessage, use: SlotUse) -> bool:
    """Run small jobs of one message one after another; return whether one has left this process in a bad state.

    Such a job ends the message.
    """
    is_spoiled = False
    try:
        while not is_spoiled and (started := turns.begin_next()) is not None:
            check_connection()
            with execution_context(started) as span:
                work = run_execution(started, turns.seat, span, turns.log)
            turns.end(work)
            is_spoiled = work.is_spoiled
            # Between two turns, so that it is measured in none.
            if not is_spoiled and turns.seconds_left <= ANNOUNCED_EARLY_SECONDS:
                use.announce_end(after_seconds=turns.elapsed_seconds, left_seconds=turns.seconds_left)
    except BaseException:
        # A processor ends the process: the parent settles only that execution, and no other one is charged.
        drop_open_transaction()
        turns.finish()
        raise
    if not is_spoiled:
        use.end(after_seconds=turns.elapsed_seconds)
    turns.finish(is_end_announced=use.is_given_back)
    return is_spoiled


def run_list(turns: PrefetchList, use: SlotUse) -> bool:
    """Run the jobs of a list one after another; return whether one has left this process in a bad state.

    Such a job ends the list.
    """
    is_spoiled = False
    started: StartedExecution | None = turns.begin_first()
    try:
        while started is not None:
            with execution_context(started) as span:
                work = run_execution(started, turns.seat, span, log_writer_of(started))
            is_spoiled = work.is_spoiled
            if not is_spoiled and work.pending.effects is None:
                announce_progress_of_list(turns, use)
            started = turns.settle(work, is_end_announced=use.is_given_back)
    except BaseException:
        # A processor ends the process: the parent settles only that execution.
        drop_open_transaction()
        turns.finish()
        raise
    turns.finish()
    return is_spoiled


def announce_progress_of_list(turns: PrefetchList, use: SlotUse) -> None:
    """Release the slot if the list's last job has run, or announce the end if its waiting jobs will soon have run."""
    left_seconds = turns.seconds_left
    if not left_seconds:
        use.end(after_seconds=turns.elapsed_seconds)
    elif left_seconds <= ANNOUNCED_EARLY_SECONDS:
        use.announce_end(after_seconds=turns.elapsed_seconds, left_seconds=left_seconds)


@contextmanager
def execution_context(started: StartedExecution) -> Iterator[tracing.Span]:
    """Add the execution's ids to the logs, traces and outgoing calls of the block; yield the trace span."""
    ids = {
        "tenant_id": str(started.tenant_id),
        "job_id": str(started.job_id),
        "execution_id": str(started.execution_id),
        "kind": started.kind,
    }
    bound, tenant = structlog.contextvars.bind_contextvars(**ids), running_tenant.set(started.tenant_id)
    try:
        with tracing.span(
            "job.execute", parent=started.traceparent, queue=started.queue, attempt=started.attempt, **ids
        ) as span:
            yield span
    finally:
        running_tenant.reset(tenant)
        structlog.contextvars.reset_contextvars(**bound)
