"""The sweep: it rescues executions of dead workers, republishes unstarted messages, and discards expired jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from psycopg.rows import namedtuple_row, scalar_row

from scheduling import signals
from scheduling.conf import STAGE_ROWS
from scheduling.dispatch.leadership import try_to_lead
from scheduling.dispatch.republish import republish_unstarted
from scheduling.execution import settlement_builders
from scheduling.execution.lost_sessions import end_lost_sessions
from scheduling.execution.settlement import Settlement, longest_us, settle_here
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.suspension import wake_due
from scheduling.jobs.waiting_jobs import end_waiting
from scheduling.models import DeadLetter
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_all, prepared_cursor
from tenants.database.sql import load_sql

LOST_WORKER = "The worker's lease expired."

_SQL = load_sql(__file__)
_LOST = _SQL["lock_lost"]
_SILENT_WORKERS = _SQL["stop_silent_workers"]
_LATE = _SQL["lock_late"]


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The counts of one sweep; ``was_led`` is False if another dispatcher was sweeping."""

    was_led: bool
    rescued: int = 0
    republished: int = 0
    expired: int = 0
    woken: int = 0


def run_sweep() -> SweepResult:
    """Rescue executions with expired leases, republish lost messages, discard expired jobs, and wake suspended jobs.

    Each part has its own transaction, so that a failing one undoes no other.
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
    """Run one part of the sweep in its own transaction; return None if another dispatcher is sweeping."""
    with all_tenants():
        return act() if try_to_lead(LockClass.SWEEP) else None


def rescue_lost() -> int:
    """Settle executions whose lease has expired as crashes of their workers; return how many.

    Those that had not begun are returned. Call it within ``all_tenants()``.
    """
    with prepared_cursor(namedtuple_row) as cursor:
        lease_seconds = platform_settings.LEASE_SECONDS
        cursor.execute(_LOST, {"limit": STAGE_ROWS, "lease_seconds": lease_seconds})
        lost = cursor.fetchall()
        cursor.execute(_SILENT_WORKERS, {"lease_seconds": lease_seconds})
    return len(settle_here([_settlement_of_lost(row) for row in lost], actor="system"))


def _settlement_of_lost(row: Any) -> Settlement:
    """Return the settlement of a row of ``lock_lost``."""
    if not row.has_begun:
        return settlement_builders.returned(row.execution_id, row.fence, cause=LOST_WORKER)
    crashed = settlement_builders.crashed(
        row.execution_id,
        row.fence,
        crash_count=row.crash_count,
        was_alone=row.was_alone,
        cause=LOST_WORKER,
        is_lost=True,
        was_merged=row.was_merged,
    )
    return replace(crashed, most_us=longest_us(row.kind))


def _discard_expired() -> int:
    """Discard waiting jobs whose deadline passed; executions in flight are ended by their worker."""
    late = fetch_all(_LATE, {"limit": STAGE_ROWS}, scalar_row)
    return len(
        end_waiting(
            late,
            state=JobState.DISCARDED,
            event="job.discarded",
            data={"reason": DeadLetter.Reason.DEADLINE_PASSED},
            error_type=settlement_builders.DEADLINE_PASSED.type,
            error_message=settlement_builders.DEADLINE_PASSED.message,
            error_fingerprint=settlement_builders.DEADLINE_PASSED.fingerprint,
            dead_letter_reason=DeadLetter.Reason.DEADLINE_PASSED,
        )
    )
