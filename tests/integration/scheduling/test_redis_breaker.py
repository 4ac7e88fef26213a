"""A Redis server that does not respond: it costs a process one timeout in two seconds, at any number of calls."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from django.test import RequestFactory
from pytest_django import Settings

from scheduling.dispatch import broker, broker_probes
from scheduling.exceptions import BrokerUnavailableError
from scheduling.fairness.gcra import Rate
from scheduling.limits import rate_buckets
from tenants.access import lockouts
from tenants.cache import redis_guards
from tenants.cache.redis_guards import OPEN_SECONDS, RedisBreaker, breaker_of
from tenants.cache.shared_cache import SharedCache
from tests.acceptance.own_broker import OwnBroker
from tests.integration.scheduling.redis_clients import forget_clients
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db

RATE = Rate.per_minute(60, burst=60)


class Clock:
    """The breaker's clock, which the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(redis_guards, "time", clock)
    return clock


@pytest.fixture
def own(tmp_path: Path, settings: Settings, change_platform_settings: ChangePlatformSettings) -> Iterator[OwnBroker]:
    """Start the test's own broker, which the clients of this process have used."""
    server = OwnBroker(tmp_path)
    change_platform_settings(REDIS_URL=server.url)
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": server.url}}
    change_platform_settings(CONFIGURATION_CACHE_SECONDS=1)
    forget_clients()
    use_everything()
    assert broker.breaker().is_closed
    yield server
    server.kill()
    forget_clients()


def use_everything() -> None:
    """Use Redis as a submission does, and as one with a wrong key does."""
    cache: SharedCache[str] = SharedCache("breaker", str)
    assert cache.get(uuid4().hex, lambda: "stored") == "stored"
    assert RATE is not None
    assert rate_buckets.take(uuid4(), RATE, 1).granted == 1
    broker.wake_dispatcher(["q"], is_filled=True)
    broker.announce_ending(uuid4(), "q")
    lockouts.count_wrong_key(RequestFactory().get("/"))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return one entry for each timeout that was waited for."""
    found: list[str] = []
    read: Callable[..., object] = redis.connection.Connection.read_response

    def count(self: redis.connection.Connection, *args: object, **options: object) -> object:
        try:
            return read(self, *args, **options)
        except redis.TimeoutError:
            found.append("time-out")
            raise

    monkeypatch.setattr(redis.connection.Connection, "read_response", count)
    return found


def test_unresponsive_server_costs_one_timeout_in_two_seconds(own: OwnBroker, clock: Clock, waits: list[str]) -> None:
    os.kill(own.pid, signal.SIGSTOP)
    try:
        for _ in range(20):
            use_everything()
        assert len(waits) == 1
        clock.now += OPEN_SECONDS
        for _ in range(20):
            use_everything()
        assert len(waits) == 2
    finally:
        os.kill(own.pid, signal.SIGCONT)
    clock.now += OPEN_SECONDS
    use_everything()
    assert len(waits) == 2
    assert broker.breaker().is_closed
    assert not rate_buckets.is_away()


def test_silence_of_a_server_is_found_and_ends(own: OwnBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_probes, "ANSWER_SECONDS", 0.2)
    assert broker_probes.find_silence() == ""
    os.kill(own.pid, signal.SIGSTOP)
    try:
        assert "Timeout" in broker_probes.find_silence()
    finally:
        os.kill(own.pid, signal.SIGCONT)
    assert broker_probes.find_silence() == ""


def test_outage_that_is_over_is_still_reported_for_a_while(own: OwnBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_probes, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(broker_probes, "OUTAGE_SECONDS", 0.4)
    os.kill(own.pid, signal.SIGSTOP)
    try:
        broker_probes.find_silence()
    finally:
        os.kill(own.pid, signal.SIGCONT)
    assert "Timeout" in broker_probes.find_silence()
    monkeypatch.setattr(broker_probes, "REPORTED_SECONDS", 0.0)
    assert broker_probes.find_silence() == ""


def test_answer_to_a_probe_closes_the_breaker(own: OwnBroker, clock: Clock) -> None:
    broker.breaker().note_failure()
    assert rate_buckets.is_away()
    broker_probes.probe()
    assert broker.breaker().is_closed


def test_probe_calls_despite_an_open_breaker_and_leaves_it_open(own: OwnBroker, clock: Clock) -> None:
    broker.breaker().note_failure()
    own.kill()
    with pytest.raises(BrokerUnavailableError):
        broker_probes.is_epoch_new()
    assert broker.breaker().is_open()


def test_one_caller_probes_when_the_time_is_over(clock: Clock) -> None:
    breaker = RedisBreaker()
    assert [breaker.is_open(), breaker.is_closed] == [False, True]
    breaker.note_failure()
    assert [breaker.is_open() for _ in range(3)] == [True, True, True]
    clock.now += OPEN_SECONDS
    assert [breaker.is_open() for _ in range(3)] == [False, True, True]
    # The caller that probed never returned.
    clock.now += OPEN_SECONDS
    assert [breaker.is_open() for _ in range(3)] == [False, True, True]
    breaker.note_success()
    assert [breaker.is_open() for _ in range(3)] == [False, False, False]


def test_server_has_one_breaker_for_its_users_and_databases() -> None:
    assert breaker_of("redis://web:secret@host:6379/0") is breaker_of("redis://host:6379/1")
    assert breaker_of("redis://host:6379/0") is not breaker_of("redis://host:6380/0")


@pytest.fixture(autouse=True)
def own_channel() -> None:
    """Keep the broker's usual channel names: the whole broker is the test's own."""
