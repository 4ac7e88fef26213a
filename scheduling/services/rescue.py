"""The rescue sweep: what a dead worker left behind, what nobody began, what is too late."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from scheduling import signals
from scheduling.conf import STAGE_ROWS, TICK_IDLE_TIMEOUT_MS, lease_seconds
from scheduling.services import verdicts
from scheduling.services.dispatching.republish import republish_unstarted
from scheduling.services.settlement import settle_here
from tenants.context import all_tenants
from tenants.ids import uuid7

SWEEP_LOCK = 0x73776570
LOST_WORKER = "The worker's lease ran out."

_LOST = """
SELECT l.id, l.fence, j.crash_count,
    (SELECT count(*) FROM scheduling_execution_live o WHERE o.worker_id = l.worker_id) = 1
FROM scheduling_execution_live l JOIN scheduling_job j ON j.id = l.job_id
WHERE l.lease_expires_at < now()
LIMIT %s FOR UPDATE OF l SKIP LOCKED
"""
_SILENT_WORKERS = """
UPDATE scheduling_worker SET status = 'stopped', stopped_at = now()
WHERE status <> 'stopped' AND heartbeat_at < now() - make_interval(secs => %s)
"""
_EXPIRED = """
WITH late AS (
    SELECT job_id FROM scheduling_job_deadline WHERE deadline_at <= now() ORDER BY deadline_at LIMIT %(limit)s
), wanted AS (
    SELECT j.id, j.rank, j.tenant_id, j.queue_id, e.id AS entity_id
    FROM late l JOIN scheduling_job j ON j.id = l.job_id
        JOIN scheduling_schedulingentity e ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id
), ready AS (
    DELETE FROM scheduling_job_ready r USING wanted w
    WHERE r.entity_id = w.entity_id AND r.rank = w.rank AND r.job_id = w.id RETURNING r.job_id
), due AS (
    DELETE FROM scheduling_job_due d USING wanted w WHERE d.job_id = w.id RETURNING d.job_id
), held AS (
    DELETE FROM scheduling_job_held h USING wanted w WHERE h.job_id = w.id RETURNING h.job_id
), gone AS (
    SELECT job_id, 1 AS was_waiting FROM ready UNION ALL SELECT job_id, 1 FROM due UNION ALL
    SELECT job_id, 1 FROM held UNION ALL
    SELECT w.id, 0 FROM wanted w JOIN scheduling_job j ON j.id = w.id WHERE j.state = 'suspended'
), job AS (
    UPDATE scheduling_job j SET state = 'discarded', finished_at = now(), error_type = 'deadline_passed',
        error_message = %(message)s, error_fingerprint = %(fingerprint)s
    FROM gone g, wanted w
    WHERE j.id = g.job_id AND w.id = j.id AND j.state IN ('scheduled', 'available', 'retryable', 'suspended')
    RETURNING j.id, j.tenant_id, j.queue_id, j.kind, w.entity_id, g.was_waiting
), numbered AS (
    SELECT *, row_number() OVER () AS n FROM job
), deadline AS (
    DELETE FROM scheduling_job_deadline d USING job j WHERE d.job_id = j.id
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, queue_id, -sum(was_waiting) FROM job GROUP BY 1, 2, 3
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT (%(event_ids)s::uuid[])[n], tenant_id, id, NULL, now(), 'job.discarded', 'discarded', 'system', '',
        '{"reason": "deadline_passed"}'
    FROM numbered
), dead_letter AS (
    INSERT INTO scheduling_deadletter (id, tenant_id, job_id, kind, reason, error_type, error_message,
        error_fingerprint, created_at)
    SELECT (%(letter_ids)s::uuid[])[n], tenant_id, id, kind, 'deadline_passed', 'deadline_passed', %(message)s,
        %(fingerprint)s, now()
    FROM numbered
)
SELECT count(*) FROM job
"""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep found; ``was_led`` is False when another dispatcher was sweeping."""

    was_led: bool
    rescued: int = 0
    republished: int = 0
    expired: int = 0


def run_sweep() -> SweepResult:
    """Rescue executions whose lease ran out, republish lost hints, discard what is too late."""
    with all_tenants():
        if not _lead():
            return SweepResult(was_led=False)
        rescued = _rescue_lost()
        expired = _discard_expired()
    if rescued:
        signals.executions_rescued.send(None, count=rescued, reason="lease_expired")
    return SweepResult(True, rescued, republish_unstarted(), expired)


def _lead() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = {TICK_IDLE_TIMEOUT_MS}")
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, 0)", [SWEEP_LOCK])
        return bool(cursor.fetchone()[0])


def _rescue_lost() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_LOST, [STAGE_ROWS])
        lost: list[tuple[UUID, int, int, bool]] = cursor.fetchall()
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
            )
            for execution_id, fence, crash_count, was_alone in lost
        ],
        actor="system",
    )
    return len(settled)


def _discard_expired() -> int:
    late = verdicts.expired(uuid7(), 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM scheduling_job_deadline WHERE deadline_at <= now()")
        count = min(STAGE_ROWS, cursor.fetchone()[0])
        if count == 0:
            return 0
        cursor.execute(
            _EXPIRED,
            {
                "limit": count,
                "message": late.error_message,
                "fingerprint": late.error_fingerprint,
                "event_ids": [uuid7() for _ in range(count)],
                "letter_ids": [uuid7() for _ in range(count)],
            },
        )
        return int(cursor.fetchone()[0])
