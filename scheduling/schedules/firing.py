"""Firing of due schedules, by the database's clock: any number of dispatchers fire each time of a schedule once.

One transaction locks the due schedules, plans each, resolves overlaps, submits jobs tenant by tenant, records the
fires and sets the next times. Changes and manual runs of a schedule take the same row lock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.contrib.postgres.functions import TransactionNow
from django.db import InterfaceError, OperationalError

from scheduling.conf import FIRE_BATCH, TICK_IDLE_TIMEOUT_MS
from scheduling.models import Schedule, ScheduleFire
from scheduling.schedules.overlaps import Overlaps, cancel_superseded, disable_schedules, lock_released, record_fires
from scheduling.schedules.recurrence import CatchUpPolicy, CronInvalidError, ZoneUnknownError, sort_due
from scheduling.schedules.recurrence.policies import CATCH_UP_LIMIT
from scheduling.schedules.rules import next_fire, recurrence_of
from scheduling.schedules.runs import new_fire, submit_fires
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.database.prepared import execute, set_config
from tenants.encryption.exceptions import DataKeyUnavailableError

logger = logging.getLogger(__name__)

SCHEDULE_ACTOR = Actor(kind="system", id="schedule", label="schedule")
_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class FirePlan:
    """What one due schedule must do now: ``made`` are the times to submit, ``missed`` those that are given up.

    ``has_older`` means that even older missed times are not listed. ``fault`` is the reason why the schedule cannot
    fire, or empty.
    """

    schedule: Schedule
    made: tuple[datetime, ...] = ()
    missed: tuple[datetime, ...] = ()
    has_older: bool = False
    next_fire_at: datetime | None = None
    fault: str = ""


def fire_due_schedules(*, limit: int = FIRE_BATCH) -> int:
    """Fire at most ``limit`` due schedules, the longest due first; return how many were processed."""
    with acting_as(SCHEDULE_ACTOR), all_tenants():
        now = _begin()
        released = lock_released(limit)
        for _, fires in groupby(released, key=lambda fire: fire.tenant_id):
            _guard(list(fires), lambda group: _release(group, now), _refuse_broken)
        due = _lock_due(limit)
        for _, schedules in groupby(due, key=lambda schedule: schedule.tenant_id):
            plans = [plan_fires(schedule, now) for schedule in schedules]
            _guard(plans, lambda group: _fire(group, now), _disable_broken)
    return len(released) + len(due)


def plan_fires(schedule: Schedule, now: datetime) -> FirePlan:
    """Return a due schedule's times to submit, missed times and next time, without reads or writes of the database."""
    assert schedule.next_fire_at is not None  # due rows have a next time
    try:
        recurrence = recurrence_of(schedule)
    except (CronInvalidError, ZoneUnknownError) as error:
        return FirePlan(schedule, fault=str(error))
    until = min(now, schedule.ends_at or now)
    # Two more than can be caught up: those that are on time.
    found, has_older = recurrence.newest_between(schedule.next_fire_at - _MOMENT, until, CATCH_UP_LIMIT + 2)
    due = sort_due([fire.at for fire in found], now=now, policy=CatchUpPolicy(schedule.catch_up_policy))
    following = next_fire(schedule, recurrence, after=now)
    return FirePlan(schedule, due.made, due.missed, has_older, following.at if following else None)


def _begin() -> datetime:
    """Return the database's time, and limit the transaction's idle time, so that a stopped process loses its locks."""
    execute(*set_config({"idle_in_transaction_session_timeout": str(TICK_IDLE_TIMEOUT_MS)}), is_planned=True)
    return read_clock()


def _lock_due(limit: int) -> list[Schedule]:
    """Lock at most ``limit`` due schedules that no other process has locked; return them sorted by tenant."""
    rows = Schedule.objects.select_related("tenant__plan", "template").select_for_update(
        no_key=True, skip_locked=True, of=("self",)
    )
    due = rows.filter(next_fire_at__lte=TransactionNow()).order_by("next_fire_at")[:limit]
    return sorted(due, key=lambda schedule: (schedule.tenant_id, schedule.next_fire_at))


def _guard[T: (FirePlan, ScheduleFire)](
    group: Sequence[T], act: Callable[[Sequence[T]], None], give_up: Callable[[T, str], None]
) -> None:
    """Call ``act`` with rows of one tenant.

    If it fails, call it for each row alone, and ``give_up`` for rows that fail.
    """
    tenant = group[0].schedule.tenant
    try:
        with tenant_context(tenant):
            act(group)
    except (OperationalError, InterfaceError):
        raise  # a fault of the database: the whole pass is retried
    except DataKeyUnavailableError:
        # A fault of the platform: the tenant's schedules stay due, and fire late once the key is back.
        logger.exception("schedule.key_missing", extra={"tenant": str(tenant.pk), "schedules": len(group)})
    except Exception as error:
        if len(group) > 1:
            for row in group:
                _guard([row], act, give_up)
            return
        logger.exception("schedule.broken", extra={"schedule": str(group[0].schedule.pk)})
        with tenant_context(tenant):
            give_up(group[0], f"It cannot be fired: {type(error).__name__}.")


def _disable_broken(plan: FirePlan, reason: str) -> None:
    disable_schedules([(plan.schedule, reason)])


def _refuse_broken(fire: ScheduleFire, reason: str) -> None:
    ScheduleFire.objects.filter(pk=fire.pk).update(outcome=ScheduleFire.Outcome.REFUSED, reason=reason)


def _fire(plans: Sequence[FirePlan], now: datetime) -> None:
    sound = [plan for plan in plans if not plan.fault]
    disable_schedules([(plan.schedule, plan.fault) for plan in plans if plan.fault])
    known = _known_times(sound)
    overlaps = Overlaps.read([plan.schedule for plan in sound])
    fires: list[ScheduleFire] = []
    for plan in sound:
        times = [time for time in plan.made if (plan.schedule.pk, time) not in known]
        fires += overlaps.choose(plan.schedule, [new_fire(plan.schedule, time, "cron", now) for time in times])
        missed = [time for time in plan.missed if (plan.schedule.pk, time) not in known]
        fires += _missed_fires(plan, missed, now)
    _submit(fires)
    cancel_superseded([fire for fire in fires if fire.job is not None], overlaps)
    record_fires(fires, {plan.schedule: plan.next_fire_at for plan in sound})


def _known_times(plans: Sequence[FirePlan]) -> set[tuple[object, datetime]]:
    """Return pairs of schedule id and time that already have a fire, from a backfill before the dispatcher."""
    times = {time for plan in plans for time in (*plan.made, *plan.missed)}
    rows = ScheduleFire.objects.filter(schedule__in=[plan.schedule.pk for plan in plans], fire_time__in=times)
    return set(rows.values_list("schedule_id", "fire_time"))


def _missed_fires(plan: FirePlan, times: Sequence[datetime], now: datetime) -> list[ScheduleFire]:
    fires = []
    for time in times:
        fire = new_fire(plan.schedule, time, "cron", now)
        fire.outcome = ScheduleFire.Outcome.SKIPPED_MISSED
        fire.reason = "No dispatcher fired it in time."
        fires.append(fire)
    if fires and plan.has_older:
        fires[0].reason += " Earlier missed times are not recorded."
    return fires


def _submit(fires: Sequence[ScheduleFire]) -> None:
    """Submit the jobs of those fires of one tenant whose outcome is SUBMITTED."""
    wanted = [(fire.schedule, fire) for fire in fires if fire.outcome == ScheduleFire.Outcome.SUBMITTED]
    if wanted:
        submit_fires(wanted[0][0].tenant, wanted)


def _release(fires: Sequence[ScheduleFire], now: datetime) -> None:
    """Submit the jobs of fires that waited until the previous run had ended."""
    for fire in fires:
        fire.outcome, fire.fired_at = ScheduleFire.Outcome.SUBMITTED, now
    _submit(fires)
    ScheduleFire.objects.bulk_update(fires, ["outcome", "reason", "job", "fired_at"])
