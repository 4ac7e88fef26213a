"""Writing down what firing has done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from scheduling import signals
from scheduling.models import Schedule, ScheduleFire
from tenants.services.audit import record_audit


def record_fires(fires: Sequence[ScheduleFire], next_times: Mapping[Schedule, datetime | None]) -> None:
    """Store the fires of one tenant's schedules, and each schedule's next time."""
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
    """Switch off what cannot be fired, each with its reason, so that the others go on and somebody looks."""
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
