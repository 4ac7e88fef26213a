"""The runs of a prefetch list: jobs of one message that run one after another, each settled by itself.

The settlement of one job and the begin of the next are one transaction and one round trip. No settled job runs again,
and a job that has not begun may be returned at any time by a settlement under the fence of its dispatch, be it by the
dispatcher, the parent process or a cancellation: the child then passes it over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from django.db import Error

from scheduling.execution import settlement_builders
from scheduling.execution.holds import (
    HOLD_READS,
    BegunExecution,
    HeldExecution,
    begin_next_here,
    read_hold,
    settle_and_begin,
)
from scheduling.execution.merged_message import CUT_SHORT
from scheduling.execution.processing import (
    SETTLE_PATIENCE_SECONDS,
    ExecutionResult,
    PendingSettlement,
    settle_with_effects,
)
from scheduling.execution.settling import settle_together
from scheduling.execution.start import StartedExecution, StartedTurn, announce_starts
from scheduling.worker.control_block import Seat
from scheduling.worker.local_worker import LocalWorker
from scheduling.worker.process_state import CONNECTION_ERRORS, check_connection, retry_on_disconnect
from tenants.encryption.fields import is_sealing

logger = logging.getLogger(__name__)

# The parent returns the waiting jobs of a list that exceeds its predicted time by this much.
OVERDUE_SECONDS = 0.2


class PrefetchList:
    """The executions that one hold has: one that has begun, and those that wait for their turn.

    An execution costs the time from the end of its predecessor's work to the end of its own.
    """

    def __init__(
        self, members: Sequence[StartedExecution], seat: Seat, worker: LocalWorker, *, waited_seconds: float = 0.0
    ) -> None:
        self.seat = seat
        self._worker = worker
        self._first = members[0]
        self._waiting = {one.execution_id: one for one in members[1:]}
        self._began = self._previous_end = time.monotonic()
        # The time from the current execution's start in the database to the beginning of its cost.
        self._began_us = int(waited_seconds * 1e6)
        # When the statement was sent that began the current execution.
        self._begin_sent = self._began
        # Whether the database has not answered the settlement: then the execution may still be at work there.
        self._is_unsettled = False

    @property
    def elapsed_seconds(self) -> float:
        """Return the seconds since the work began."""
        return time.monotonic() - self._began

    @property
    def seconds_left(self) -> float:
        """Return how long the waiting jobs are expected to run, in seconds."""
        return sum(one.expected_us for one in self._waiting.values()) / 1e6

    def begin_first(self) -> StartedExecution | None:
        """Return the execution that began with the receipt of the list; begin another if that is no longer held."""
        if self._first.has_begun:
            return self._announced(self._first)
        self._waiting = {self._first.execution_id: self._first, **self._waiting}
        begun = self._begin_here()
        return None if begun is None else self._announced(self._take(begun))

    def settle(self, work: ExecutionResult, *, is_end_announced: bool = False) -> StartedExecution | None:
        """Settle the execution that has run, and return the next one, which has begun; None if the list is over."""
        ended = time.monotonic()
        measured_us = int((ended - self._previous_end) * 1e6)
        pending = work.with_costs(began_us=self._began_us, measured_us=measured_us, is_end_announced=is_end_announced)
        self._previous_end = ended
        may_continue = bool(self._waiting) and not (work.is_spoiled or self._worker.block.is_stopping)
        begun = self._settle_and_begin(pending, work.started, list(self._waiting) if may_continue else [])
        # Lines of the settlement's effects, or those that an unavailable database did not accept.
        work.log.flush()
        if begun is None and may_continue and not self._is_unsettled:
            begun = self._begin_here()
        return None if begun is None else self._announced(self._take(begun))

    def finish(self) -> None:
        """Return the executions that still wait, to be dispatched again."""
        for _ in range(HOLD_READS):
            left = self._left() if self._waiting else []
            if not left:
                break
            settle_together(
                [settlement_builders.returned(one.execution_id, one.fence, cause=CUT_SHORT) for one in left]
            )
        self._waiting.clear()

    def _left(self) -> list[HeldExecution]:
        """Return what the hold has of those that wait."""
        try:
            held = retry_on_disconnect(
                lambda: read_hold(hold_id=self.seat.hold_id, worker_id=self._worker.registration.worker_id),
                give_up_after_seconds=SETTLE_PATIENCE_SECONDS,
            )
        except CONNECTION_ERRORS:
            # The lease returns them.
            logger.exception("list.not_returned", extra={"executions": len(self._waiting)})
            return []
        return [one for one in held if one.execution_id in self._waiting]

    def _settle_and_begin(
        self, pending: PendingSettlement, started: StartedExecution, next_ids: Sequence[UUID]
    ) -> BegunExecution | None:
        settlement = pending.settlement
        if (
            settlement is None
            or pending.effects is not None
            or settlement.dependencies
            or (is_sealing() and settlement.has_secrets)
        ):
            self._is_unsettled = not settle_with_effects(pending, started)
            return None
        self._begin_sent = time.monotonic()
        try:
            turnover = settle_and_begin(settlement, next_ids, hold_id=self.seat.hold_id)
        except Error:
            # Perhaps it was committed and only the answer is lost. Either way the settlement may be repeated, and
            # `begin_next_here` returns what has begun.
            logger.warning("list.not_settled_with_next", exc_info=True)
            check_connection()
            self._is_unsettled = not settle_with_effects(pending, started)
            return None
        if turnover.settled is None:
            logger.warning("execution.superseded", extra={"execution_id": str(started.execution_id)})
        return turnover.begun

    def _begin_here(self) -> BegunExecution | None:
        self._begin_sent = time.monotonic()
        try:
            return retry_on_disconnect(
                lambda: begin_next_here(list(self._waiting), hold_id=self.seat.hold_id),
                give_up_after_seconds=SETTLE_PATIENCE_SECONDS,
            )
        except CONNECTION_ERRORS:
            logger.exception("list.not_continued", extra={"executions": len(self._waiting)})
            return None

    def _take(self, begun: BegunExecution) -> StartedExecution:
        """Make a waiting execution the current one; those passed over before it are tried again last."""
        for execution_id in list(self._waiting):
            held = self._waiting.pop(execution_id)
            if execution_id == begun.execution_id:
                break
            self._waiting[execution_id] = held
        self._began_us = int((self._previous_end - self._begin_sent) * 1e6)
        waited_seconds = (begun.started_at - held.started_at).total_seconds()
        return replace(
            held,
            fence=begun.fence,
            started_at=begun.started_at,
            has_begun=True,
            is_expired=held.deadline_at is not None and held.deadline_at <= begun.started_at,
            pickup_seconds=held.pickup_seconds + waited_seconds,
            wait_seconds=None if held.wait_seconds is None else held.wait_seconds + waited_seconds,
        )

    def _announced(self, started: StartedExecution) -> StartedExecution:
        self.seat.take_turn(started.execution_id)
        announce_starts([StartedTurn.of(started)])
        return started
