"""Concurrent dispatchers (I11): any number of them fire at once, and each (schedule, fire time) becomes one job."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from django.db import connection
from django.utils import timezone

from scheduling.models import Job, Schedule, ScheduleFire
from scheduling.schedules.definitions import create_schedule
from scheduling.schedules.firing import fire_due_schedules
from scheduling.schedules.runs import backfill_schedule
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

DISPATCHERS = 5
SCHEDULES = 12


@pytest.fixture(autouse=True)
def now() -> None:
    """Replace the frozen clock of this folder by the database's own."""


def make_due_schedules(tenants: list[Tenant], *, minutes_ago: int) -> None:
    for number in range(SCHEDULES):
        values = {"name": f"s{number}", "kind": "noop", "cron": "* * * * *", "catch_up_policy": "all"}
        create_schedule(tenant=tenants[number % len(tenants)], values=values)
    with all_tenants():
        minute = read_clock().replace(second=0, microsecond=0)
        Schedule.objects.update(next_fire_at=minute - timedelta(minutes=minutes_ago))


def test_concurrent_dispatchers_fire_each_time_once(acme: Tenant, globex: Tenant) -> None:
    make_due_schedules([acme, globex], minutes_ago=4)
    barrier = Barrier(DISPATCHERS)

    def dispatch() -> int:
        barrier.wait()
        try:
            # Small rounds, so that dispatchers collide often.
            return sum(fire_due_schedules(limit=3) for _ in range(12))
        finally:
            connection.close()

    with ThreadPoolExecutor(DISPATCHERS) as threads:
        looked_at = sum(future.result() for future in [threads.submit(dispatch) for _ in range(DISPATCHERS)])
    assert looked_at >= SCHEDULES
    with all_tenants():
        fires = list(ScheduleFire.objects.values_list("schedule_id", "fire_time", "outcome", "job_id"))
        jobs = set(Job.objects.values_list("id", flat=True))
    assert {outcome for *_, outcome, _ in fires} == {"submitted"}
    assert jobs == {job_id for *_, job_id in fires}
    assert len(jobs) == len(fires) == len({(schedule, time) for schedule, time, *_ in fires})
    # Five minutes each, and a sixth if a minute began in between.
    assert set(Counter(schedule for schedule, *_ in fires).values()) <= {5, 6}
    assert len({schedule for schedule, *_ in fires}) == SCHEDULES


def test_backfill_beside_dispatchers_fires_each_time_once(acme: Tenant) -> None:
    make_due_schedules([acme], minutes_ago=30)
    with all_tenants():
        schedule = Schedule.objects.order_by("name").first()
        minute = read_clock().replace(second=0, microsecond=0)
    assert schedule is not None
    barrier = Barrier(3)

    def backfill() -> None:
        barrier.wait()
        try:
            with tenant_context(acme):
                since = minute - timedelta(minutes=40)
                backfill_schedule(schedule_id=schedule.pk, since=since, until=minute, is_dry_run=False)
        finally:
            connection.close()

    def dispatch() -> None:
        barrier.wait()
        try:
            for _ in range(5):
                fire_due_schedules()
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as threads:
        for future in [threads.submit(act) for act in (backfill, dispatch, dispatch)]:
            future.result()
    with all_tenants():
        fires = ScheduleFire.objects.filter(schedule=schedule, fire_time__lte=minute)
        assert fires.count() == len(set(fires.values_list("fire_time", flat=True))) == 41
        assert fires.filter(job__isnull=True).count() == 0
        assert Job.objects.count() == ScheduleFire.objects.filter(job__isnull=False).count()


def test_firing_uses_the_clock_of_the_database(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    make_due_schedules([acme], minutes_ago=0)
    monkeypatch.setattr(timezone, "now", lambda: datetime(2001, 1, 1, tzinfo=UTC))
    assert fire_due_schedules() == SCHEDULES
    with all_tenants():
        now = read_clock()
        assert all(
            now - fired_at < timedelta(hours=1) for fired_at in ScheduleFire.objects.values_list("fired_at", flat=True)
        )
        assert all(time > now for time in Schedule.objects.values_list("next_fire_at", flat=True))
