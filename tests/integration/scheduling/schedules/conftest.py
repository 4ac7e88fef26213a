"""Schedules that are due at a moment chosen by the test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduling.models import Job, Schedule, ScheduleFire
from scheduling.schedules import definitions, firing, runs
from scheduling.schedules.definitions import create_schedule
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.models import Tenant

type MakeSchedule = Callable[..., Schedule]


@pytest.fixture
def make_schedule() -> MakeSchedule:
    """Return a function that makes a schedule of a tenant; `due_minutes_ago` moves its next time into the past."""
    numbers = iter(range(1_000))

    def make(tenant: Tenant, *, due_minutes_ago: int | None = None, **values: Any) -> Schedule:
        given = {"name": f"schedule {next(numbers)}", "kind": "noop", "cron": "* * * * *"} | values
        schedule = create_schedule(tenant=tenant, values=given)
        if due_minutes_ago is not None:
            make_due(schedule, minutes_ago=due_minutes_ago)
        return schedule

    return make


@pytest.fixture
def count_jobs() -> Callable[[], int]:
    """Return the number of jobs of all tenants."""

    def count() -> int:
        with all_tenants():
            return Job.objects.count()

    return count


@pytest.fixture(autouse=True)
def now(db: None, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Freeze the time at twenty seconds past the database's present minute, so that none passes during the test."""
    with all_tenants():
        frozen = read_clock().replace(second=20, microsecond=0)
    # The timeout of a firing's transaction would apply to the whole test.
    monkeypatch.setattr(firing, "TICK_IDLE_TIMEOUT_MS", 600_000)
    for module in (definitions, firing, runs):
        monkeypatch.setattr(module, "read_clock", lambda: frozen)
    return frozen


def database_now() -> datetime:
    """Return the time that the fixture `now` has frozen."""
    return definitions.read_clock()  # type: ignore[attr-defined] # where the fixture froze it


def minute_ago(count: int) -> datetime:
    """Return the full minute `count` minutes before the present one."""
    return database_now().replace(second=0, microsecond=0) - timedelta(minutes=count)


def make_due(schedule: Schedule, *, minutes_ago: int) -> datetime:
    """Let a schedule of every minute be due since then, as if no dispatcher had run."""
    time = minute_ago(minutes_ago)
    with all_tenants():
        Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=time)
    return time


def fires_of(schedule: Schedule) -> list[ScheduleFire]:
    """Return a schedule's fires by time, with their jobs."""
    with all_tenants():
        return list(ScheduleFire.objects.filter(schedule=schedule).select_related("job").order_by("fire_time"))


def outcomes_of(schedule: Schedule) -> list[str]:
    return [fire.outcome for fire in fires_of(schedule)]


def reload(schedule: Schedule) -> Schedule:
    with all_tenants():
        return Schedule.objects.get(pk=schedule.pk)
