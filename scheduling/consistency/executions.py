"""Checks of executions in flight against their jobs: state, fence, phase and lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.consistency.registry import CheckPage, CheckRange, FaultKind, RepairOrder, StateCheck
from scheduling.consistency.waiting import append_repair_events
from scheduling.consistency.walk import Table
from scheduling.dispatch.wakes import append_wakes
from scheduling.execution import settlement_builders
from scheduling.execution.rescue import rescue_lost
from scheduling.execution.settlement import Settlement, settle_here
from scheduling.jobs.lifecycle import WAITING_STATES, JobState
from scheduling.models import Execution
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql

EXECUTION_ASTRAY = FaultKind(
    "execution_astray",
    gettext_noop("An execution is in flight, but its job is missing, has ended or waits."),
    "Closes the execution and charges it up to its worker's last heartbeat; its worker can no longer write.",
)
EXECUTION_PHASE_DIFFERS = FaultKind(
    "execution_phase_differs",
    gettext_noop("A job is executing but its execution has not started, or is dispatched although it has."),
    "Makes the job executing if its execution has started, else available again.",
)
FENCE_DIFFERS = FaultKind(
    "fence_differs",
    gettext_noop("The fence of a job differs from that of its execution in flight."),
    "Raises the lower one; a worker with a lower fence can no longer write, and the sweep rescues its job.",
)
LEASE_LONG_PAST = FaultKind(
    "lease_long_past",
    gettext_noop("A worker's lease expired minutes ago, and no sweep has reclaimed its job."),
    "Reclaims the job as the sweep does after any crash.",
)
LIVE = Table("scheduling_execution_live")
# The sweep runs each second, and after an outage of the database it waits for one lease.
LEASE_GRACE_SECONDS = 300
CLOSED_EVENT = "execution.closed"
_CAUSE = "Its job no longer ran it."
_SQL = load_sql(__file__)
_LOOK, _LOCK, _LOCK_JOBS = _SQL["check_executions"], _SQL["lock_executions"], _SQL["lock_jobs"]
_RAISE_FENCES = (_SQL["raise_fences_of_jobs"], _SQL["raise_fences_of_executions"])
_BEGIN = _SQL["begin_jobs"]
_OUTCOME = Execution.Outcome


def check_executions(piece: CheckRange) -> CheckPage:
    """Find executions in flight that do not match the state of their jobs, or whose leases expired long ago."""
    return LIVE.look(_LOOK, piece, parameters={"grace": LEASE_GRACE_SECONDS})


def repair_executions(order: RepairOrder) -> None:
    """Close executions, raise fences or begin jobs, depending on the kind of fault.

    The rows of the executions are locked first, then those of their jobs. For expired leases, run the dispatchers'
    rescue.
    """
    if order.code == LEASE_LONG_PAST.code:
        rescue_lost()
        return
    ids = {"ids": order.subjects}
    live = fetch_all(_LOCK, ids, is_planned=True)
    jobs = fetch_all(_LOCK_JOBS, {"job_ids": [row.job_id for row in live]}, is_planned=True)
    states = {job.id: job.state for job in jobs}
    if order.code == FENCE_DIFFERS.code:
        for statement in _RAISE_FENCES:
            execute(statement, ids, is_planned=True)
    if order.code == EXECUTION_ASTRAY.code:
        _close(live, states)
    elif order.code == EXECUTION_PHASE_DIFFERS.code:
        _agree_on_phase(live, states)


def _close(live: Sequence[Any], states: dict[UUID, str]) -> None:
    """Settle executions whose job does not run: the job stays as it is, the slot is freed and the time is charged."""
    astray = [row for row in live if states.get(row.job_id) not in (JobState.DISPATCHED, JobState.EXECUTING)]
    settle_here(
        [
            Settlement(
                row.id,
                row.fence,
                outcome=_OUTCOME.CANCELLED,
                state=states.get(row.job_id, JobState.CANCELLED.value),
                event=CLOSED_EVENT,
                is_lost=True,
                event_data={"cause": _CAUSE},
            )
            for row in astray
        ],
        actor="system",
    )
    # A settlement counts a job that returns to its line; these jobs were waiting already.
    waiting = [row for row in astray if states.get(row.job_id) in (WAITING_STATES - {JobState.SCHEDULED})]
    if waiting:
        append_wakes([(row.tenant_id, row.entity_id, row.queue_id, -1) for row in waiting])


def _agree_on_phase(live: Sequence[Any], states: dict[UUID, str]) -> None:
    begun = [row.job_id for row in live if row.has_begun and states.get(row.job_id) == JobState.DISPATCHED]
    execute(_BEGIN, {"job_ids": begun}, is_planned=True)
    append_repair_events(begun, code=EXECUTION_PHASE_DIFFERS.code)
    settle_here(
        [
            settlement_builders.returned(
                row.id, row.fence, cause="Its job was marked as running, but no worker had started it."
            )
            for row in live
            if not row.has_begun and states.get(row.job_id) == JobState.EXECUTING
        ],
        actor="system",
    )


CHECKS = (
    StateCheck(
        "executions",
        (
            EXECUTION_ASTRAY,
            FENCE_DIFFERS,
            EXECUTION_PHASE_DIFFERS,
            LEASE_LONG_PAST,
        ),
        check_executions,
        repair_executions,
    ),
)
