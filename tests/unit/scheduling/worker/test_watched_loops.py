"""Every loop marks its turns for the watchdog, also those that end in an error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from uuid import uuid4

import pytest
from celery.beat import Service
from django.db import OperationalError
from django.http import HttpRequest
from django_celery_beat.schedulers import DatabaseScheduler

from scheduling.bulk import runner as bulk_runner
from scheduling.celery import beat
from scheduling.dispatch import duties as duty_runner
from scheduling.models import ProcessHeartbeat
from scheduling.streams import feed as event_feed
from scheduling.streams.subscriptions import StreamSubscription
from scheduling.upkeep import auditor
from scheduling.worker.watchdog import Watchdog, WatchedLoop
from tenants.access.permissions import Permission
from tenants.transactions import ConnectionLostError

TURNS = 5


class Stopped(threading.Event):
    """Event that never waits, and is set after some checks."""

    looks = 0

    def is_set(self) -> bool:
        self.looks += 1
        return self.looks > TURNS

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def fail(*_: object, **__: object) -> None:
    raise OperationalError("away")


def lose() -> None:
    raise ConnectionLostError("away")


@pytest.fixture
def loop() -> WatchedLoop:
    return WatchedLoop("loop")


def test_auditor_turns_during_database_outage(loop: WatchedLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditor, "connection", SimpleNamespace(close=lambda: None))
    watched = auditor.AuditorLoop(Stopped(), loop.turn)
    monkeypatch.setattr(watched._duties, "run_due", fail)
    watched.run()
    assert loop.turns >= TURNS // 2


def test_bulk_runner_turns_during_database_outage(loop: WatchedLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_runner, "connection", SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(bulk_runner, "open_operations", fail)
    bulk_runner.BulkRunner(Stopped(), loop.turn).run()
    assert loop.turns >= TURNS // 2


def test_duty_runner_turns_during_database_outage(loop: WatchedLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duty_runner, "connection", SimpleNamespace(close=lambda: None))
    watched = duty_runner.DutyRunner(Stopped(), (), loop.turn)
    monkeypatch.setattr(watched._duties, "run_due", lose)
    watched.run()
    assert loop.turns >= TURNS // 2


def test_beat_is_watched_after_its_first_tick(loop: WatchedLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    roles: list[str] = []

    def make_watchdog(role: str) -> SimpleNamespace:
        roles.append(role)
        return SimpleNamespace(add=lambda name: loop)

    monkeypatch.setattr(beat, "Watchdog", make_watchdog)
    monkeypatch.setattr(DatabaseScheduler, "__init__", lambda self, *_, **__: None)
    monkeypatch.setattr(DatabaseScheduler, "tick", lambda self: 1.0)
    scheduler = beat.BeatingScheduler(lazy=True)
    scheduler._next_beat = float("inf")
    scheduler.tick()
    assert loop.turns == 0
    service = Service.__new__(Service)
    service.__dict__["scheduler"] = scheduler
    beat.beat_init.send(sender=service)
    scheduler.tick()
    scheduler.tick()
    assert (roles, loop.turns) == ([ProcessHeartbeat.Role.BEAT], 2)


class AwayFeed(event_feed.EventFeed):
    """Feed with one client and an unavailable database for some turns."""

    def __init__(self) -> None:
        super().__init__()
        self.left = TURNS

    def _present(self) -> list[StreamSubscription] | None:
        self.left -= 1
        client = StreamSubscription(HttpRequest(), Permission.JOBS_VIEW, tenant_id=uuid4(), after=None)
        return [client] if self.left >= 0 else None

    def take_turn(self, subscriptions: Sequence[StreamSubscription]) -> None:
        fail()


def test_stream_reader_turns_during_database_outage_and_is_unwatched_after(
    loop: WatchedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[WatchedLoop] = []

    def add(watchdog: Watchdog, name: str) -> WatchedLoop:
        watched.append(loop)
        return loop

    pause: Callable[[float], None] = lambda seconds: None  # noqa: E731
    monkeypatch.setattr(Watchdog, "add", add)
    monkeypatch.setattr(Watchdog, "remove", lambda watchdog, ended: watched.remove(ended))
    monkeypatch.setattr(event_feed, "connection", SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(event_feed.time, "sleep", pause)
    AwayFeed()._run()
    assert (loop.turns, watched) == (TURNS, [])
