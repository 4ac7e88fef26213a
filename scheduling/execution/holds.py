"""Holds of lists: the next execution of a list begins, with or without the settlement of its predecessor.

No answer of the database is needed to know what a child may run: an execution begins only in the hold that has it, and
only once, whatever message, repeat or return of it is on its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import OperationalError
from psycopg.rows import class_row

from scheduling import signals
from scheduling.conf import BY_INDEX, LOCK_TIMEOUT_MS
from scheduling.dispatch.broker import wake_dispatcher
from scheduling.dispatch.locked import is_lock_timeout
from scheduling.execution.settlement import (
    SETTLE_AND_BEGIN,
    SettledExecution,
    Settlement,
    settlement_values,
)
from scheduling.jobs.lifecycle import JobState
from tenants.context import query_cross_tenant
from tenants.database.ids import uuid7s
from tenants.database.platform_settings import platform_settings
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_BEGIN_HERE, _READ = _SQL["begin_next_here"], _SQL["read_hold"]
# The most candidates for the next execution: any but the first are tried only if another session has locked that.
_MOST_CANDIDATES = 3
_FACTS = len(fields(SettledExecution))
# An unanswered statement of a child may still run when its hold is read, and begin another execution.
HOLD_READS = 3


class BegunExecution(NamedTuple):
    """An execution of a list that has begun, with its fence."""

    execution_id: UUID
    fence: int
    started_at: datetime

    @classmethod
    def of(cls, execution_id: UUID, fence: int, started_at: float) -> BegunExecution:
        """Build it from the columns of a statement."""
        return cls(execution_id, fence, datetime.fromtimestamp(started_at, UTC))


class Turnover(NamedTuple):
    """The result of `settle_and_begin`: the settled execution and the begun one, each None if it was not found."""

    settled: SettledExecution | None
    begun: BegunExecution | None


@dataclass(frozen=True, slots=True)
class HeldExecution:
    """An execution that a hold still has; ``fence`` is that of its dispatch until it has begun."""

    execution_id: UUID
    fence: int
    has_begun: bool


def settle_and_begin(settlement: Settlement, next_ids: Sequence[UUID], *, hold_id: UUID) -> Turnover:
    """Settle an execution without dependencies, and begin the next in the same transaction, in one round trip.

    None begins if the settled one was not live under its fence, or others have locked all that come next. Do not
    repeat the call after a lost answer: it might have succeeded, and would begin a further one.
    """
    values = settlement_values([settlement], actor="system") | _begin_values(next_ids[:_MOST_CANDIDATES], hold_id)
    (row,) = query_cross_tenant(SETTLE_AND_BEGIN, values, settings=BY_INDEX)
    settled = None if row[0] is None else SettledExecution(*row[:_FACTS])
    begun = None if row[_FACTS] is None else BegunExecution.of(*row[_FACTS:])
    if settled is not None:
        # The next tick counts the execution, soon enough while its slot stays in use.
        if begun is None or settled.state == JobState.AVAILABLE:
            wake_dispatcher({settled.queue}, is_end_announced=not settlement.frees_slot)
        # A failing observer must not undo the settlement.
        signals.executions_ended.send_robust(None, executions=[settled])
    return Turnover(settled, begun)


def begin_next_here(next_ids: Sequence[UUID], *, hold_id: UUID) -> BegunExecution | None:
    """Begin the first execution of ``next_ids`` that the hold still has; None if it has none.

    One that was begun before and whose begin was not answered is returned again. Also return None if another session
    has locked the first one for LOCK_TIMEOUT_MS.
    """
    settings = {**BY_INDEX, "lock_timeout": str(LOCK_TIMEOUT_MS)}
    try:
        rows = query_cross_tenant(_BEGIN_HERE, _begin_values(next_ids, hold_id), settings=settings)
    except OperationalError as error:
        if is_lock_timeout(error):
            return None
        raise
    return BegunExecution.of(*rows[0]) if rows else None


def read_hold(*, hold_id: UUID, worker_id: UUID) -> list[HeldExecution]:
    """Return the executions that a hold of the worker still has."""
    values = {"hold_id": hold_id, "worker_id": worker_id}
    return query_cross_tenant(_READ, values, row_factory=class_row(HeldExecution))


def _begin_values(next_ids: Sequence[UUID], hold_id: UUID) -> dict[str, Any]:
    return {
        "next_ids": list(next_ids),
        "next_event_ids": uuid7s(len(next_ids)),
        "hold_id": hold_id,
        "lease_seconds": platform_settings.LEASE_SECONDS,
    }
