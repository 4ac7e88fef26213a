"""The rescue sweep: what a dead worker left behind, what nobody began, what is too late."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from scheduling import signals
from scheduling.conf import STAGE_ROWS, lease_seconds
from scheduling.lifecycle import JobState
from scheduling.models import DeadLetter
from scheduling.services import verdicts
from scheduling.services.dispatching.republish import republish_unstarted
from scheduling.services.leadership import lead
from scheduling.services.settlement import settle_here
from scheduling.services.suspension import wake_due
from scheduling.services.waiting import take_out
from tenants.context import all_tenants
from tenants.locks import LockClass

LOST_WORKER = "The worker's lease ran out."

# A probe of the job for each that is lost: joined, the planner may read all jobs to learn that there is none.
_LOST = """
SELECT l.id, l.fence, (SELECT j.crash_count FROM scheduling_job j WHERE j.id = l.job_id),
    (SELECT count(*) FROM scheduling_execution_live o WHERE o.worker_id = l.worker_id) = 1,
    (SELECT count(*) FROM scheduling_execution_live o WHERE o.message_id = l.message_id) > 1
FROM scheduling_execution_live l
WHERE l.lease_expires_at < now()
LIMIT %s FOR NO KEY UPDATE OF l SKIP LOCKED
"""
_SILENT_WORKERS = """
UPDATE scheduling_worker SET status = 'stopped', stopped_at = now()
WHERE status <> 'stopped' AND heartbeat_at < now() - make_interval(secs => %s)
"""
_LATE = "SELECT job_id FROM scheduling_job_deadline WHERE deadline_at <= now() ORDER BY deadline_at LIMIT %s"


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep found; ``was_led`` is False when another dispatcher was sweeping."""

    was_led: bool
    rescued: int = 0
    republished: int = 0
    expired: int = 0
    woken: int = 0


def run_sweep() -> SweepResult:
    """Rescue executions whose lease ran out, republish lost hints, discard what is too late, wake what waited."""
    with all_tenants():
        if not lead(LockClass.SWEEP):
            return SweepResult(was_led=False)
        rescued = rescue_lost()
        expired = _discard_expired()
        woken = wake_due(STAGE_ROWS)
    if rescued:
        signals.executions_rescued.send(None, count=rescued, reason="lease_expired")
    return SweepResult(was_led=True, rescued=rescued, republished=republish_unstarted(), expired=expired, woken=woken)


def rescue_lost() -> int:
    """Settle executions whose lease ran out as crashes of their workers; how many. Behind the door."""
    with connection.cursor() as cursor:
        cursor.execute(_LOST, [STAGE_ROWS])
        lost: list[tuple[UUID, int, int, bool, bool]] = cursor.fetchall()
        cursor.execute(_SILENT_WORKERS, [lease_seconds()])
    settled = settle_here(
        [
            verdicts.crashed(
                execution_id,
                fence,
                crash_count=crash_count,
                was_alone=was_alone,
                cause=LOST_WORKER,
                is_lost=True,
                was_merged=was_merged,
            )
            for execution_id, fence, crash_count, was_alone, was_merged in lost
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
