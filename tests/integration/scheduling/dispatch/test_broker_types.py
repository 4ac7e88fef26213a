"""Keys of a wrong type, in the test's own broker: they are removed, and publishing works again."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis
from celery import current_app
from kombu import Connection, pools
from kombu.transport.redis import Channel
from pytest_django import Settings

from scheduling.celery import publishing
from scheduling.celery.publishing import Hint
from scheduling.dispatch import broker, broker_probes
from scheduling.dispatch.broker_types import expected_types, remove_wrong_types
from scheduling.exceptions import BrokerUnavailableError
from scheduling.fairness.gcra import Rate
from scheduling.limits import rate_buckets
from scheduling.worker.consumer import ReconnectingConsumer
from tenants.cache.shared_cache import SharedCache
from tenants.database.platform_settings import platform_settings
from tests.acceptance.own_broker import OwnBroker
from tests.integration.scheduling.redis_clients import forget_clients
from tests.platform_settings import ChangePlatformSettings

QUEUE = "wrongly-typed"
EVERY_KEY = sorted(expected_types([QUEUE]))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBroker]:
    server = OwnBroker(tmp_path_factory.mktemp("broker"))
    yield server
    server.kill()


@pytest.fixture
def client(
    own: OwnBroker,
    settings: Settings,
    change_platform_settings: ChangePlatformSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[redis.Redis]:
    """Return a client of the broker that all clients of this process use."""
    change_platform_settings(REDIS_URL=own.url)
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": own.url}}
    _forget_clients()
    monkeypatch.setattr(broker, "HEARD_SECONDS", 0.0)
    app = current_app._get_current_object()
    monkeypatch.setattr(app, "connection_for_write", lambda *_, **__: Connection(own.url))
    with redis.Redis.from_url(own.url) as opened:
        yield opened
    own.empty()
    _forget_clients()


def _forget_clients() -> None:
    forget_clients()
    pools.reset()
    current_app._pool = None
    current_app.amqp._producer_pool = None


def plant(client: redis.Redis, key: str) -> None:
    """Store a stream under the key, a type that no key of the platform has."""
    client.delete(key)
    client.xadd(key, {"field": "garbage"})


def hints(count: int = 2) -> list[Hint]:
    return [Hint(QUEUE, [uuid4()], uuid4()) for _ in range(count)]


@pytest.fixture(autouse=True)
def own_channel() -> None:
    """Keep the broker's usual channel names: the whole broker is the test's own."""


@pytest.mark.parametrize("key", EVERY_KEY)
def test_key_of_a_wrong_type_is_removed_as_lost_messages(client: redis.Redis, key: str) -> None:
    broker_probes.is_epoch_new()
    plant(client, key)
    assert remove_wrong_types([QUEUE]) == 1
    assert not client.exists(key)
    assert broker_probes.is_epoch_new()
    assert remove_wrong_types([QUEUE]) == 0
    assert not broker_probes.is_epoch_new()


def test_keys_of_their_own_type_stay(client: redis.Redis) -> None:
    makers = {
        "list": "RPUSH {} x",
        "set": "SADD {} x",
        "string": "SET {} x",
        "hash": "HSET {} x y",
        "zset": "ZADD {} 1 x",
    }
    for key, kind in expected_types([QUEUE]).items():
        command, _, *values = makers[kind].split()
        client.execute_command(command, key, *values)
    assert remove_wrong_types([QUEUE]) == 0
    assert all(client.exists(key) for key in EVERY_KEY)


def test_messages_and_wakes_arrive_after_the_removal(client: redis.Redis) -> None:
    for key in EVERY_KEY:
        plant(client, key)
    assert remove_wrong_types([QUEUE]) == len(EVERY_KEY)
    assert list(publishing.publish(hints())) == []
    assert client.llen(QUEUE) == 2
    broker.wake_dispatcher([QUEUE])
    assert broker.wait_for_wake(5.0)
    assert QUEUE in broker.drain_signals().queues
    assert broker.breaker().is_closed


def test_publishing_failure_is_logged_once_with_its_cause(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    publishing._refused_messages.__init__("broker.publishing_failed")  # type: ignore[misc]
    plant(client, QUEUE)
    for _ in range(3):
        unsent = hints()
        assert list(publishing.publish(unsent)) == unsent
    assert "WRONGTYPE" in publishing.fault_of_last_failure()
    lines = [record for record in caplog.records if record.message == "broker.publishing_failed"]
    assert len(lines) == 1
    assert "WRONGTYPE" in lines[0].reason  # type: ignore[attr-defined]


def test_connecting_worker_removes_wrong_keys(client: redis.Redis) -> None:
    class Consumer(ReconnectingConsumer):
        def __init__(self) -> None:
            self.app = current_app._get_current_object()

    for key in (Channel.unacked_key, Channel.unacked_index_key, "maintenance"):
        plant(client, key)
    Consumer().ensure_connected(Connection(platform_settings.REDIS_URL))
    assert not client.exists(Channel.unacked_key, Channel.unacked_index_key, "maintenance")


def test_bucket_of_a_wrong_type_is_a_full_one(client: redis.Redis) -> None:
    tenant_id, rate = uuid4(), Rate.per_minute(1, burst=5)
    assert rate is not None
    plant(client, f"{rate_buckets.KEY_PREFIX}submit:{tenant_id}")
    assert rate_buckets.take(tenant_id, rate, 8).granted == 5
    assert not rate_buckets.is_away()
    assert rate_buckets.take(tenant_id, rate, 1).granted == 0


@pytest.mark.django_db
def test_cached_value_of_a_wrong_type_is_replaced(
    client: redis.Redis, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(CONFIGURATION_CACHE_SECONDS=1)
    cache: SharedCache[str] = SharedCache("wrongly_typed", str)
    plant(client, cache._name_of("key"))
    assert cache.get("key", lambda: "stored") == "stored"
    other: SharedCache[str] = SharedCache("wrongly_typed", str)
    assert other.get("key", lambda: "read again") == "stored"


def test_removal_raises_if_the_broker_is_unreachable(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(REDIS_URL="redis://127.0.0.1:9/0")
    broker.client.cache_clear()
    with pytest.raises(BrokerUnavailableError):
        remove_wrong_types([])
    broker.client.cache_clear()


def test_keys_written_by_publishing_have_expected_types(client: redis.Redis) -> None:
    """Cover the keys of publishing; the chaos test covers those of a whole platform."""
    publishing.publish(hints())
    broker_probes.is_epoch_new()
    broker.wake_dispatcher([QUEUE], is_filled=True)
    broker.announce_ending(uuid4(), QUEUE)
    written = {key.decode(): client.type(key).decode() for key in client.scan_iter()}
    assert written.items() <= expected_types([QUEUE]).items()
