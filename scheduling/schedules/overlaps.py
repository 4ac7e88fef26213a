"""Rules for fires whose previous job is unfinished, and the rows that a pass of firing stores."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from django.db import transaction
from psycopg.rows import scalar_row

from scheduling import signals
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import Schedule, ScheduleFire
from scheduling.schedules.recurrence import OverlapPolicy
from tenants.audit.service import record_audit
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql


def record_fires(fires: Sequence[ScheduleFire], next_times: Mapping[Schedule, datetime | None]) -> None:
    """Store new fires of one tenant's schedules, and the next and last time of each schedule."""
    ScheduleFire.objects.bulk_create(fires)
    newest: dict[UUID, datetime] = {}
    for fire in fires:
        newest[fire.schedule_id] = max(fire.fire_time, newest.get(fire.schedule_id, fire.fire_time))
    schedules = list(next_times)
    for schedule in schedules:
        schedule.next_fire_at = next_times[schedule]
        schedule.last_fire_at = newest.get(schedule.pk, schedule.last_fire_at)
    Schedule.objects.bulk_update(schedules, ["next_fire_at", "last_fire_at"])
    counts = Counter((fire.tenant_id, fire.outcome) for fire in fires)
    transaction.on_commit(lambda: _tell(counts))


def disable_schedules(faulty: Sequence[tuple[Schedule, str]]) -> None:
    """Disable schedules that cannot fire and store the reason of each, so that the other schedules still fire."""
    for schedule, reason in faulty:
        schedule.is_enabled, schedule.next_fire_at = False, None
        schedule.pause_reason = reason[:500]
        schedule.version += 1
        record_audit(
            action="schedule.disabled",
            target=schedule,
            before={"is_enabled": True},
            after={"is_enabled": False},
            reason=reason,
        )
    if faulty:
        rows = [schedule for schedule, _ in faulty]
        Schedule.objects.bulk_update(rows, ["is_enabled", "next_fire_at", "pause_reason", "version"])
        transaction.on_commit(lambda: _tell_disabled(rows))


def _tell(counts: Mapping[tuple[UUID, str], int]) -> None:
    for (tenant_id, outcome), count in counts.items():
        signals.schedules_fired.send(None, tenant_id=tenant_id, outcome=outcome, count=count)


def _tell_disabled(schedules: Sequence[Schedule]) -> None:
    for schedule in schedules:
        signals.schedule_disabled.send(
            None, tenant_id=schedule.tenant_id, schedule_id=schedule.pk, reason=schedule.pause_reason
        )


STILL_RUNNING = "The previous run had not ended."
ONE_WAITS = "The previous run had not ended, and one run already waits."
OVERTAKEN = "A later time was due as well and would have cancelled it."

_SQL = load_sql(__file__)
_OPEN_RUNS, _RELEASED = _SQL["find_open_runs"], _SQL["lock_released"]


@dataclass(slots=True)
class Overlaps:
    """Unfinished jobs of some schedules, and the ids of the schedules that have a waiting fire."""

    open_runs: dict[UUID, list[UUID]]
    waiting: set[UUID]

    @classmethod
    def read(cls, schedules: Sequence[Schedule]) -> Self:
        """Read the unfinished jobs and waiting fires in two queries, without schedules that allow overlaps."""
        ids = [schedule.pk for schedule in schedules if schedule.overlap_policy != OverlapPolicy.ALLOW]
        open_runs: dict[UUID, list[UUID]] = defaultdict(list)
        if not ids:
            return cls(open_runs, set())
        for row in fetch_all(_OPEN_RUNS, {"schedule_ids": ids}, is_planned=True):
            open_runs[row.schedule_id].append(row.job_id)
        waiting = ScheduleFire.objects.filter(schedule__in=ids, outcome=ScheduleFire.Outcome.WAITING)
        return cls(open_runs, set(waiting.values_list("schedule_id", flat=True)))

    def choose(self, schedule: Schedule, fires: list[ScheduleFire]) -> list[ScheduleFire]:
        """Set the outcome of each fire by the schedule's overlap policy; return the fires.

        They are sorted, oldest first.
        """
        policy = OverlapPolicy(schedule.overlap_policy)
        if policy is OverlapPolicy.ALLOW:
            return fires
        if policy is OverlapPolicy.CANCEL_PREVIOUS:
            for fire in fires[:-1]:
                _leave_out(fire, OVERTAKEN)
            return fires
        is_running = bool(self.open_runs[schedule.pk]) or schedule.pk in self.waiting
        for fire in fires:
            if not is_running:
                is_running = True
            elif policy is OverlapPolicy.SKIP:
                _leave_out(fire, STILL_RUNNING)
            elif schedule.pk in self.waiting:
                _leave_out(fire, ONE_WAITS)
            else:
                self.waiting.add(schedule.pk)
                fire.outcome, fire.reason = ScheduleFire.Outcome.WAITING, STILL_RUNNING
        return fires


def _leave_out(fire: ScheduleFire, reason: str) -> None:
    fire.outcome, fire.reason = ScheduleFire.Outcome.SKIPPED_OVERLAP, reason


def cancel_superseded(fires: Iterable[ScheduleFire], overlaps: Overlaps) -> None:
    """Cancel the unfinished earlier jobs of these submitted fires, for schedules whose policy is `cancel_previous`."""
    job_ids = [
        job_id
        for fire in fires
        if fire.schedule.overlap_policy == OverlapPolicy.CANCEL_PREVIOUS
        for job_id in overlaps.open_runs[fire.schedule_id]
    ]
    if job_ids:
        cancel_jobs(job_ids=job_ids, reason="The schedule's next run replaced it.")


def lock_released(limit: int) -> list[ScheduleFire]:
    """Lock at most ``limit`` waiting fires whose previous job has ended, with their schedules.

    Return them sorted by tenant.
    """
    ids = fetch_all(_RELEASED, {"limit": limit}, scalar_row, is_planned=True)
    if not ids:
        return []
    fires = ScheduleFire.objects.filter(pk__in=ids).select_related("schedule__tenant__plan", "schedule__template")
    return sorted(fires, key=lambda fire: fire.tenant_id)
