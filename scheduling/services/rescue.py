"""The rescue sweep: what a dead worker left behind, what nobody began, what is too late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import connection

from scheduling import signals
from scheduling.conf import STAGE_ROWS, lease_seconds
from scheduling.lifecycle import JobState
from scheduling.models import DeadLetter
from scheduling.services import verdicts
from scheduling.services.dispatching.republish import republish_unstarted
from scheduling.services.leadership import lead
from scheduling.services.lost_sessions import end_lost_sessions
from scheduling.services.settlement import longest_us, settle_here
from scheduling.services.suspension import wake_due
from scheduling.services.waiting import take_out
from tenants.context import all_tenants
from tenants.locks import LockClass

LOST_WORKER = "The worker's lease ran out."

# Jobs and tenants by their keys: joined, the planner may read all jobs to learn that none is lost. What the settlement
# would wait for is left for the next sweep, or one row that somebody holds would keep every lost execution waiting.
_LOST = """
WITH lost AS (
    SELECT l.id, l.fence, l.tenant_id, l.job_id, l.worker_id, l.message_id, l.kind
    FROM scheduling_execution_live l
    WHERE l.lease_expires_at < now() LIMIT %s FOR NO KEY UPDATE OF l SKIP LOCKED
), job AS (
    SELECT j.id, j.crash_count FROM scheduling_job j
    WHERE j.id = ANY(ARRAY(SELECT job_id FROM lost)) FOR NO KEY UPDATE OF j SKIP LOCKED
), tenant AS (
    SELECT t.id FROM tenants_tenant t
    WHERE t.id = ANY(ARRAY(SELECT tenant_id FROM lost)) FOR KEY SHARE OF t SKIP LOCKED
)
SELECT l.id, l.fence, j.crash_count,
    (SELECT count(*) FROM scheduling_execution_live o WHERE o.worker_id = l.worker_id) = 1,
    (SELECT count(*) FROM scheduling_execution_live o WHERE o.message_id = l.message_id) > 1, l.kind
FROM lost l JOIN job j ON j.id = l.job_id JOIN tenant t ON t.id = l.tenant_id
"""
_SILENT_WORKERS = """
UPDATE scheduling_worker SET status = 'stopped', stopped_at = now()
WHERE status <> 'stopped' AND heartbeat_at < now() - make_interval(secs => %s)
"""
_LATE = """
SELECT d.job_id FROM scheduling_job_deadline d JOIN scheduling_job j ON j.id = d.job_id
WHERE d.deadline_at <= now() ORDER BY d.deadline_at LIMIT %s FOR NO KEY UPDATE OF j SKIP LOCKED
"""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep found; ``was_led`` is False when another dispatcher was sweeping."""

    was_led: bool
    rescued: int = 0
    republished: int = 0
    expired: int = 0
    woken: int = 0


def run_sweep() -> SweepResult:
    """Rescue executions whose lease ran out, republish lost hints, discard what is too late, wake what waited.

    Each of these has a transaction of its own, so that one that fails undoes no other.
    """
    end_lost_sessions()
    rescued = _lead_and(rescue_lost)
    if rescued is None:
        return SweepResult(was_led=False)
    if rescued:
        signals.executions_rescued.send(None, count=rescued, reason="lease_expired")
    republished = republish_unstarted()
    expired = _lead_and(_discard_expired) or 0
    woken = _lead_and(lambda: wake_due(STAGE_ROWS)) or 0
    return SweepResult(was_led=True, rescued=rescued, republished=republished, expired=expired, woken=woken)


def _lead_and(act: Callable[[], int]) -> int | None:
    """Do one part of the sweep in a transaction of its own; None if another dispatcher is sweeping."""
    with all_tenants():
        return act() if lead(LockClass.SWEEP) else None


def rescue_lost() -> int:
    """Settle executions whose lease ran out as crashes of their workers; how many. Behind the door."""
    with connection.cursor() as cursor:
        cursor.execute(_LOST, [STAGE_ROWS])
        lost: list[tuple[UUID, int, int, bool, bool, str]] = cursor.fetchall()
        cursor.execute(_SILENT_WORKERS, [lease_seconds()])
    settled = settle_here(
        [
            replace(
                verdicts.crashed(
                    execution_id,
                    fence,
                    crash_count=crash_count,
                    was_alone=was_alone,
                    cause=LOST_WORKER,
                    is_lost=True,
                    was_merged=was_merged,
                ),
                most_us=longest_us(kind),
            )
            for execution_id, fence, crash_count, was_alone, was_merged, kind in lost
        ],
        actor="system",
    )
    return len(settled)


def _discard_expired() -> int:
    """Discard waiting jobs whose deadline passed; those in flight end by their own worker."""
    with connection.cursor() as cursor:
        cursor.execute(_LATE, [STAGE_ROWS])
        late = [job_id for (job_id,) in cursor.fetchall()]
    return len(
        take_out(
            late,
            state=JobState.DISCARDED,
            event="job.discarded",
            data={"reason": DeadLetter.Reason.DEADLINE_PASSED},
            error_type=verdicts.DEADLINE_PASSED.type,
            error_message=verdicts.DEADLINE_PASSED.message,
            error_fingerprint=verdicts.DEADLINE_PASSED.fingerprint,
            dead_letter_reason=DeadLetter.Reason.DEADLINE_PASSED,
        )
    )
