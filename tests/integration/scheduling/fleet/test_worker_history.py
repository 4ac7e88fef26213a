"""History of a worker: its heartbeats add up its load by minute, and its page shows it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.execution.leases import WorkerLoad, heartbeat
from scheduling.fleet.history import RANGES, worker_charts
from scheduling.fleet.workers import Registration
from scheduling.models import WorkerMinute
from scheduling.statistics.rollups import prune_rollups
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7

pytestmark = pytest.mark.django_db


def beat(worker: Registration, **load: int) -> None:
    heartbeat(worker_id=worker.worker_id, is_stopping=False, execution_ids=[], load=WorkerLoad(**load))


def minute_of(worker: Registration, ago: int, **values: int) -> None:
    with all_tenants():
        minute = read_clock().replace(second=0, microsecond=0) - timedelta(minutes=ago)
        WorkerMinute.objects.create(worker_id=worker.worker_id, minute=minute, **values)


def test_heartbeats_of_a_minute_are_one_row(worker: Registration) -> None:
    beat(worker, busy=1, memory_kib=200, begun=3)
    beat(worker, busy=3, memory_kib=100, begun=4)
    with all_tenants():
        rows = list(WorkerMinute.objects.filter(worker_id=worker.worker_id))
    # One more if a minute has begun in between.
    assert len(rows) <= 2
    assert (sum(row.heartbeats for row in rows), sum(row.busy for row in rows)) == (2, 4)
    assert (max(row.memory_kib for row in rows), sum(row.begun for row in rows)) == (200, 7)


def test_heartbeat_of_an_unknown_worker_stores_no_load() -> None:
    heartbeat(worker_id=uuid7(), is_stopping=False, execution_ids=[], load=WorkerLoad(busy=1))
    with all_tenants():
        assert not WorkerMinute.objects.exists()


def test_charts_have_means_and_gaps(worker: Registration) -> None:
    minute_of(worker, 2, heartbeats=4, busy=8, memory_kib=2_048, begun=12)
    with all_tenants():
        load, memory, begun = worker_charts(worker.worker_id, chosen="hour")
    titles = [[minute.title.partition(": ")[2] for minute in item.chart.minutes] for item in (load, memory, begun)]
    assert [len(values) for values in titles] == [60, 60, 60]
    assert [values[-2] for values in titles] == ["2.0", "2 MiB", "12"]
    assert {value for values in titles for value in values[-1:]} == {"–"}


@pytest.mark.parametrize("chosen", RANGES)
def test_page_shows_the_chosen_range(chosen: str, worker: Registration, staff: User) -> None:
    minute_of(worker, 30, heartbeats=1, busy=1, memory_kib=1_024, begun=1)
    client = Client()
    client.force_login(staff)
    page = client.get(reverse("admin:scheduling_worker_change", args=[worker.worker_id]), {"range": chosen})
    assert page.context["chosen"] == chosen
    assert page.content.decode().count("Highest ") >= 3


def test_old_minutes_are_removed(worker: Registration) -> None:
    minute_of(worker, 60 * 24 * 3, heartbeats=1)
    minute_of(worker, 1, heartbeats=1)
    assert prune_rollups(limit=10)["worker_minute"] == 1
    with all_tenants():
        assert WorkerMinute.objects.count() == 1
