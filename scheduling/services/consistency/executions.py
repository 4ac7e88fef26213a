"""Executions in flight against their jobs: the state, the fence, the phase and the lease."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_noop

from scheduling.lifecycle import WAITING_STATES, JobState
from scheduling.models import Execution
from scheduling.services import verdicts
from scheduling.services.consistency.registry import FaultKind, Look, Piece, RepairOrder, StateCheck
from scheduling.services.consistency.waiting import append_repair_events
from scheduling.services.consistency.walk import Table
from scheduling.services.rescue import rescue_lost
from scheduling.services.settlement import Settlement, settle_here
from scheduling.services.wakes import append_wakes

EXECUTION_ASTRAY = FaultKind(
    "execution_astray",
    gettext_noop("An execution is in flight whose job is gone, has ended or waits."),
    "Closes the execution and charges it up to its worker's last heartbeat; its worker's writes change nothing more.",
)
EXECUTION_PHASE_DIFFERS = FaultKind(
    "execution_phase_differs",
    gettext_noop("A job is executing though its execution was not begun, or dispatched though it was."),
    "Makes the job executing if its execution has begun; else hands it back as available.",
)
FENCE_DIFFERS = FaultKind(
    "fence_differs",
    gettext_noop("The fence of a job is not that of its execution in flight."),
    "Raises the lower one; a worker whose fence was below writes nothing more, and the sweep rescues its job.",
)
LEASE_LONG_PAST = FaultKind(
    "lease_long_past",
    gettext_noop("A worker's lease ran out minutes ago, and no sweep has taken its job back."),
    "Rescues it as the sweep does after any crash.",
)
LIVE = Table("scheduling_execution_live")
# The sweep looks each second, and waits a lease after it had lost the database.
LEASE_GRACE_SECONDS = 300
CLOSED_EVENT = "execution.closed"
_CAUSE = "Its job did not run it any more."
_LOOK = """
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, job_id, fence, started_at, lease_expires_at FROM scheduling_execution_live WHERE <piece>
)
SELECT f.code, l.tenant_id, l.id::text
FROM piece l LEFT JOIN scheduling_job j ON j.id = l.job_id AND j.tenant_id = l.tenant_id
    CROSS JOIN LATERAL (VALUES
        ('execution_astray', j.id IS NULL OR j.state NOT IN ('dispatched', 'executing')),
        ('fence_differs', j.state IN ('dispatched', 'executing') AND j.fence <> l.fence),
        ('execution_phase_differs', (j.state = 'executing' AND l.started_at IS NULL)
            OR (j.state = 'dispatched' AND l.started_at IS NOT NULL)),
        ('lease_long_past', l.lease_expires_at < now() - make_interval(secs => %(grace)s))
    ) AS f(code, is_wrong)
WHERE f.is_wrong
"""
# Lock the execution before its job, as settlement does, in one order.
_LOCK = """
SELECT l.id, l.tenant_id, l.entity_id, l.queue_id, l.job_id, l.fence, l.started_at IS NOT NULL
FROM scheduling_execution_live l WHERE l.id = ANY (%s::uuid[]) ORDER BY l.id FOR NO KEY UPDATE
"""
_LOCK_JOBS = "SELECT id, state FROM scheduling_job WHERE id = ANY (%s::uuid[]) ORDER BY id FOR NO KEY UPDATE"
_RAISE_FENCES = (
    """
    UPDATE scheduling_job j SET fence = l.fence FROM scheduling_execution_live l
    WHERE l.id = ANY (%s::uuid[]) AND j.id = l.job_id AND j.fence < l.fence
    """,
    """
    UPDATE scheduling_execution_live l SET fence = j.fence FROM scheduling_job j
    WHERE l.id = ANY (%s::uuid[]) AND j.id = l.job_id AND l.fence < j.fence
    """,
)
_BEGIN = "UPDATE scheduling_job SET state = 'executing' WHERE id = ANY (%s::uuid[]) AND state = 'dispatched'"
_OUTCOME = Execution.Outcome


def look(piece: Piece) -> Look:
    """Find executions in flight whose jobs do not agree with them."""
    return LIVE.look(_LOOK, piece, parameters={"grace": LEASE_GRACE_SECONDS})


def repair(order: RepairOrder) -> None:
    """Close, raise the fence, begin or rescue, under the locks of the executions and then of their jobs."""
    if order.code == LEASE_LONG_PAST.code:
        rescue_lost()
        return
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [order.subjects])
        live = cursor.fetchall()
        cursor.execute(_LOCK_JOBS, [[row[4] for row in live]])
        states = dict(cursor.fetchall())
        if order.code == FENCE_DIFFERS.code:
            for statement in _RAISE_FENCES:
                cursor.execute(statement, [order.subjects])
    if order.code == EXECUTION_ASTRAY.code:
        _close(live, states)
    elif order.code == EXECUTION_PHASE_DIFFERS.code:
        _agree_on_phase(live, states)


def _close(live: list[tuple[Any, ...]], states: dict[UUID, str]) -> None:
    """Settle executions that no job runs: the job stays as it is, the slot is freed, the time is charged."""
    astray = [row for row in live if states.get(row[4]) not in (JobState.DISPATCHED, JobState.EXECUTING)]
    settle_here(
        [
            Settlement(
                execution_id,
                fence,
                outcome=_OUTCOME.CANCELLED,
                state=states.get(job_id, JobState.CANCELLED.value),
                event=CLOSED_EVENT,
                is_lost=True,
                event_data={"cause": _CAUSE},
            )
            for execution_id, _, _, _, job_id, fence, _ in astray
        ],
        actor="system",
    )
    # A settlement counts whose job goes back to wait; these waited already.
    waiting = [row for row in astray if states.get(row[4]) in (WAITING_STATES - {JobState.SCHEDULED})]
    if waiting:
        append_wakes([(tenant_id, entity_id, queue_id, -1) for _, tenant_id, entity_id, queue_id, *_ in waiting])


def _agree_on_phase(live: list[tuple[Any, ...]], states: dict[UUID, str]) -> None:
    begun = [row[4] for row in live if row[6] and states.get(row[4]) == JobState.DISPATCHED]
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, [begun])
    append_repair_events(begun, code=EXECUTION_PHASE_DIFFERS.code)
    settle_here(
        [
            verdicts.returned(execution_id, fence, cause="Its job was said to run, and nobody had begun it.")
            for execution_id, _, _, _, job_id, fence, has_begun in live
            if not has_begun and states.get(job_id) == JobState.EXECUTING
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
        look,
        repair,
    ),
)
