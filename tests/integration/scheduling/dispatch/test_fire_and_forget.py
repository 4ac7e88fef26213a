"""Fire-and-forget messages (`CLIENT REPLY OFF`): they arrive, and a server that replies anyway is awaited."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scheduling.dispatch import broker
from scheduling.dispatch.broker import FireAndForgetRedis
from tenants.database.platform_settings import platform_settings
from tests.acceptance.processes import eventually
from tests.brokers import broker_administrator

pytestmark = pytest.mark.usefixtures("verified_for_an_hour")


@pytest.fixture
def verified_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept a connection as verified for an hour, so that a slow machine causes no further check."""
    monkeypatch.setattr(broker, "HEARD_SECONDS", 3_600.0)


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(platform_settings.REDIS_URL) as opened:
        yield opened


@pytest.fixture
def key(client: redis.Redis) -> Iterator[str]:
    name = f"one-way-{uuid4().hex}"
    yield name
    client.delete(name)


@pytest.fixture
def way() -> FireAndForgetRedis:
    own = redis.Redis.from_url(platform_settings.REDIS_URL)
    return FireAndForgetRedis(lambda: own)


@pytest.fixture
def awaited(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return one entry for each reply that was awaited."""
    found: list[None] = []
    execute = redis.client.Pipeline.execute

    def count(self: redis.client.Pipeline) -> Any:
        found.append(None)
        return execute(self)

    monkeypatch.setattr(redis.client.Pipeline, "execute", count)
    return found


def send_to(way: FireAndForgetRedis, *commands: broker.Command) -> None:
    way.send_commands(*commands, fallback=way._client)


def arrived(client: redis.Redis, key: str) -> list[bytes]:
    found: Any = client.lrange(key, 0, -1)
    return list(found)


def until(client: redis.Redis, key: str, expected: list[bytes]) -> None:
    eventually(lambda: arrived(client, key) == expected, what=f"{expected} have arrived")


def test_first_message_awaits_a_reply_and_later_ones_arrive_in_order(
    way: FireAndForgetRedis, client: redis.Redis, key: str, awaited: list[None]
) -> None:
    send_to(way, ("RPUSH", key, 0))
    assert arrived(client, key) == [b"0"]
    for number in range(1, 50):
        send_to(way, ("RPUSH", key, number), ("LTRIM", key, -100, -1))
    until(client, key, [str(number).encode() for number in range(50)])
    assert len(awaited) == 1


def test_bytes_and_texts_arrive_unchanged(way: FireAndForgetRedis, client: redis.Redis, key: str) -> None:
    values: list[str | bytes] = ["", "ä\r\n$1", bytes(range(256)), "*"]
    send_to(way, ("RPUSH", key, "first"))
    for value in values:
        send_to(way, ("RPUSH", key, value))
    until(client, key, [b"first", b"", "ä\r\n$1".encode(), bytes(range(256)), b"*"])


def test_reply_is_awaited_again_after_a_while(
    way: FireAndForgetRedis, key: str, awaited: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "HEARD_SECONDS", 0.0)
    for _ in range(3):
        send_to(way, ("RPUSH", key, 1))
    assert len(awaited) == 3


def test_connection_closed_by_the_server_is_reopened(way: FireAndForgetRedis, client: redis.Redis, key: str) -> None:
    send_to(way, ("RPUSH", key, 0))
    send_to(way, ("RPUSH", key, 1))
    until(client, key, [b"0", b"1"])
    # Find it by the port of its own socket: the server's list does not name the connection.
    port = way._connection._sock.getsockname()[1]
    with broker_administrator() as administrator:
        (ours,) = [one for one in administrator.client_list() if one["addr"].endswith(f":{port}")]
        administrator.client_kill_filter(_id=ours["id"])
    ended = select.poll()
    ended.register(way._connection._sock, select.POLLIN)
    assert ended.poll(60_000)
    send_to(way, ("RPUSH", key, 2))
    assert way._connection._sock.getsockname()[1] != port
    until(client, key, [b"0", b"1", b"2"])


def test_server_that_replies_anyway_is_awaited(
    way: FireAndForgetRedis, client: redis.Redis, key: str, awaited: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis.Connection, "send_command", _but_for_silence(redis.Connection.send_command))
    send_to(way, ("RPUSH", key, 0))
    send_to(way, ("RPUSH", key, 1))
    eventually(way._connection.can_read, what="it has answered")
    for number in (2, 3):
        send_to(way, ("RPUSH", key, number))
    assert arrived(client, key) == [b"0", b"1", b"2", b"3"]
    assert len(awaited) == 3


def _but_for_silence(send: Callable[..., Any]) -> Callable[..., Any]:
    def send_command(self: redis.Connection, *command: Any, **options: Any) -> Any:
        return None if command[:2] == ("CLIENT", "REPLY") else send(self, *command, **options)

    return send_command


def test_encrypted_or_failed_connection_awaits_replies(client: redis.Redis, key: str, awaited: list[None]) -> None:
    for url in ("rediss://localhost:1/0", "redis://localhost:1/0"):
        other = redis.Redis.from_url(url, socket_connect_timeout=0.2)
        way = FireAndForgetRedis(lambda other=other: other)  # type: ignore[misc]
        for number in range(3):
            way.send_commands(("RPUSH", key, number), fallback=lambda: client)
    assert arrived(client, key) == [b"0", b"1", b"2"] * 2
    assert len(awaited) == 6


def test_failed_send_awaits_a_reply_and_the_next_connection_is_silent(
    way: FireAndForgetRedis, client: redis.Redis, key: str, awaited: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    send_to(way, ("RPUSH", key, 0))
    send_to(way, ("RPUSH", key, 1))
    until(client, key, [b"0", b"1"])

    def fail(*_: Any, **__: Any) -> None:
        raise redis.TimeoutError("Timeout writing to socket")

    monkeypatch.setattr(way._connection, "send_packed_command", fail)
    send_to(way, ("RPUSH", key, 2))
    assert arrived(client, key) == [b"0", b"1", b"2"]
    assert len(awaited) == 2
    way._asked_until = 0.0
    for number in (3, 4):
        send_to(way, ("RPUSH", key, number))
    until(client, key, [b"0", b"1", b"2", b"3", b"4"])
    assert len(awaited) == 2
    assert not way._connection.can_read()


def test_old_connection_is_reopened_and_leaks_no_place_in_the_pool(
    way: FireAndForgetRedis, client: redis.Redis, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "RENEWED_SECONDS", -1.0)
    for number in range(120):
        send_to(way, ("RPUSH", key, number))
    until(client, key, [str(number).encode() for number in range(120)])


def test_unreachable_server_raises() -> None:
    # As the broker's client, without the library's own repetitions, which take seconds.
    away = FireAndForgetRedis(lambda: redis.Redis(port=1, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0)))
    for _ in range(2):
        with pytest.raises(redis.RedisError):
            send_to(away, ("PING",))
        away._heard_until = float("inf")


def test_concurrent_threads_send_without_loss(way: FireAndForgetRedis, client: redis.Redis, key: str) -> None:
    send_to(way, ("RPUSH", key, "x"))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: send_to(way, ("RPUSH", key, number), ("LLEN", key)), range(400)))
    eventually(lambda: client.llen(key) == 401, what="all have arrived")
    assert {int(number) for number in arrived(client, key)[1:]} == set(range(400))


def test_forked_process_uses_its_own_connection(way: FireAndForgetRedis, client: redis.Redis, key: str) -> None:
    send_to(way, ("RPUSH", key, "x"))
    send_to(way, ("RPUSH", key, "before"))
    until(client, key, [b"x", b"before"])
    with way._guard:
        child = os.fork()
        if child == 0:
            # The parent holds the lock during the fork, as one of its threads may.
            send_to(way, ("RPUSH", key, "child"))
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0
    until(client, key, [b"x", b"before", b"child"])
    send_to(way, ("RPUSH", key, "parent"))
    until(client, key, [b"x", b"before", b"child", b"parent"])
