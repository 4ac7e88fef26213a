"""A fire beside a run that has not ended: let it, leave it out, let one wait, or cancel what runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from psycopg.rows import namedtuple_row, scalar_row

from scheduling.models import Schedule, ScheduleFire
from scheduling.recurrence import OverlapPolicy
from scheduling.services.cancellation import cancel_jobs
from tenants.database.sql import load_sql
from tenants.prepared import planned_cursor

STILL_RUNNING = "The run before it had not ended."
ONE_WAITS = "The run before it had not ended, and one waits already."
OVERTAKEN = "A later time was due as well and would have cancelled it."

_SQL = load_sql(__file__)
_OPEN_RUNS, _RELEASED = _SQL["find_open_runs"], _SQL["lock_released"]


@dataclass(slots=True)
class Overlaps:
    """The runs of some schedules that have not ended, and who of them has one waiting."""

    open_runs: dict[UUID, list[UUID]]
    waiting: set[UUID]

    @classmethod
    def read(cls, schedules: Sequence[Schedule]) -> Self:
        """Two queries for all of them; none where every schedule allows overlaps."""
        ids = [schedule.pk for schedule in schedules if schedule.overlap_policy != OverlapPolicy.ALLOW]
        open_runs: dict[UUID, list[UUID]] = defaultdict(list)
        if not ids:
            return cls(open_runs, set())
        with planned_cursor(namedtuple_row) as cursor:
            cursor.execute(_OPEN_RUNS, {"schedule_ids": ids})
            for row in cursor.fetchall():
                open_runs[row.schedule_id].append(row.job_id)
        waiting = ScheduleFire.objects.filter(schedule__in=ids, outcome=ScheduleFire.Outcome.WAITING)
        return cls(open_runs, set(waiting.values_list("schedule_id", flat=True)))

    def choose(self, schedule: Schedule, fires: list[ScheduleFire]) -> list[ScheduleFire]:
        """Write on each fire, oldest first, whether its job is to be submitted."""
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
    """Cancel the runs before those fires that have become jobs, where their schedules say so."""
    job_ids = [
        job_id
        for fire in fires
        if fire.schedule.overlap_policy == OverlapPolicy.CANCEL_PREVIOUS
        for job_id in overlaps.open_runs[fire.schedule_id]
    ]
    if job_ids:
        cancel_jobs(job_ids=job_ids, reason="The schedule's next run takes its place.")


def lock_released(limit: int) -> list[ScheduleFire]:
    """The waiting fires whose turn has come, with their schedules, locked, by tenant."""
    with planned_cursor(scalar_row) as cursor:
        cursor.execute(_RELEASED, {"limit": limit})
        ids = cursor.fetchall()
    if not ids:
        return []
    fires = ScheduleFire.objects.filter(pk__in=ids).select_related("schedule__tenant__plan")
    return sorted(fires, key=lambda fire: fire.tenant_id)
