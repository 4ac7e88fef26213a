"""Rate buckets in the real broker, and in the process while the broker is unreachable."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from scheduling.fairness import gcra
from scheduling.fairness.gcra import Rate
from scheduling.limits import rate_buckets
from scheduling.limits.rate_buckets import Bucket
from tenants.cache import redis_guards
from tenants.database.platform_settings import platform_settings
from tests.brokers import broker_administrator
from tests.platform_settings import ChangePlatformSettings

REAL_URL = platform_settings.REDIS_URL
SLOW = Rate.per_minute(1, burst=5)
assert SLOW is not None


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Clear the state of outages, addresses and local buckets of other tests."""

    def forget() -> None:
        rate_buckets._script.cache_clear()
        rate_buckets._outage.__init__()  # type: ignore[misc]
        rate_buckets._local.__init__()  # type: ignore[misc]

    forget()
    yield
    forget()


@pytest.fixture
def tenant_id() -> UUID:
    return uuid4()


def test_bucket_grants_the_first_tokens_of_too_many(tenant_id: UUID) -> None:
    grant = rate_buckets.take(tenant_id, SLOW, 8)
    assert (grant.granted, grant.remaining) == (5, 0)
    assert rate_buckets.take(tenant_id, SLOW, 1).granted == 0
    assert 0 < rate_buckets.read_bucket(tenant_id, SLOW).wait_us(SLOW) <= 60_000_000


def test_unused_tokens_are_returned(tenant_id: UUID) -> None:
    rate_buckets.take(tenant_id, SLOW, 5)
    rate_buckets.give_back(tenant_id, SLOW, 2)
    assert rate_buckets.take(tenant_id, SLOW, 5).granted == 2


def test_buckets_are_separate_for_each_tenant(tenant_id: UUID) -> None:
    rate_buckets.take(tenant_id, SLOW, 5)
    assert rate_buckets.take(uuid4(), SLOW, 5).granted == 5


def test_full_bucket_leaves_no_key(tenant_id: UUID) -> None:
    client = redis.Redis.from_url(platform_settings.REDIS_URL)
    rate_buckets.read_bucket(tenant_id, SLOW)
    assert client.exists(f"{rate_buckets.KEY_PREFIX}submit:{tenant_id}") == 0
    rate_buckets.take(tenant_id, SLOW, 5)
    assert 0 < client.pttl(f"{rate_buckets.KEY_PREFIX}submit:{tenant_id}") <= 300_001


def test_concurrent_requests_take_only_the_available_tokens(tenant_id: UUID) -> None:
    with ThreadPoolExecutor(10) as threads:
        granted = list(threads.map(lambda _: rate_buckets.take(tenant_id, SLOW, 1).granted, range(50)))
    assert sum(granted) == 5


@pytest.mark.parametrize("seed", range(5))
def test_script_equals_the_arithmetic(tenant_id: UUID, seed: int) -> None:
    """Run the same script with the test's clock in place of the server's."""
    text = rate_buckets.SCRIPT.replace("redis.call('TIME')", "{0, ARGV[5]}").replace(
        "'PX', math.floor(backlog / 1000) + 1", "'EX', 60"
    )
    assert "TIME" not in text
    assert "PX" not in text
    script = redis.Redis.from_url(REAL_URL).register_script(text)
    chance = random.Random(seed)
    tat, now = 0, 1_764_000_000_000_000
    for _ in range(300):
        rate = Rate(chance.choice([1_000, 999_983, 60_000_000]), chance.randint(1, 50))
        wanted = chance.randint(-5, 12)
        now += chance.choice([0, 1, 999, 1_000_000, 100_000_000])
        granted, backlog, remaining = script(
            keys=[f"test:{tenant_id}"], args=[wanted, 0, rate.interval_us, rate.burst, now]
        )
        expected = gcra.give_back(tat, now, rate, -wanted) if wanted < 0 else gcra.take(tat, now, rate, wanted)
        assert (granted, int(backlog), remaining) == (expected.granted, expected.backlog_us, expected.remaining)
        if wanted:
            tat = now + expected.backlog_us


def two_buckets(name: object) -> list[Bucket]:
    return [Bucket(f"small:{name}", Rate(60_000_000, 5)), Bucket(f"large:{name}", Rate(60_000_000, 8))]


def test_several_buckets_grant_all_or_nothing(tenant_id: UUID) -> None:
    check_all_or_nothing(two_buckets(tenant_id))


def check_all_or_nothing(buckets: list[Bucket]) -> None:
    small, large = buckets
    assert [grant.granted for grant in rate_buckets.take_whole(buckets, 4)] == [4, 4]
    refused = rate_buckets.take_whole(buckets, 2)
    assert [grant.granted for grant in refused] == [0, 0]
    # A refusal by one of them takes tokens from none.
    assert [grant.remaining for grant in refused] == [1, 4]
    assert rate_buckets.take_whole([large], 4)[0].granted == 4
    assert rate_buckets.take_whole([small], 1)[0].granted == 1


def test_several_buckets_are_one_round_trip(tenant_id: UUID) -> None:
    with redis.Redis.from_url(REAL_URL) as client:
        rate_buckets.take_whole(two_buckets(tenant_id), 1)  # load the script
        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        rate_buckets.take_whole(two_buckets(tenant_id), 1)
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1


class Away:
    """An address without a server: connections are accepted or refused, and never answered."""

    def __init__(self, *, listens: bool) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        if listens:
            self._socket.listen(128)
        self.url = f"redis://127.0.0.1:{self._socket.getsockname()[1]}/0"

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=[True, False], ids=["blackholed", "refused"])
def away(request: pytest.FixtureRequest, change_platform_settings: ChangePlatformSettings) -> Iterator[Away]:
    nowhere = Away(listens=request.param)
    change_platform_settings(REDIS_URL=nowhere.url)
    yield nowhere
    nowhere.close()


def test_rate_is_kept_by_the_process_while_the_broker_is_away(away: Away, tenant_id: UUID) -> None:
    assert rate_buckets.take(tenant_id, SLOW, 3).granted == 3
    assert rate_buckets.take(tenant_id, SLOW, 3).granted == 2
    rate_buckets.give_back(tenant_id, SLOW, 1)
    assert rate_buckets.take(tenant_id, SLOW, 3).granted == 1


def test_several_local_buckets_grant_all_or_nothing(away: Away, tenant_id: UUID) -> None:
    check_all_or_nothing(two_buckets(tenant_id))


def test_outage_is_logged_once_and_its_end_too(
    away: Away,
    tenant_id: UUID,
    change_platform_settings: ChangePlatformSettings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_guards, "OPEN_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, logger="scheduling.limits.rate_buckets"):
        for _ in range(3):
            rate_buckets.take(tenant_id, SLOW, 1)
        change_platform_settings(REDIS_URL=REAL_URL)
        rate_buckets._script.cache_clear()
        rate_buckets.take(tenant_id, SLOW, 1)
        rate_buckets.take(tenant_id, SLOW, 1)
    assert [record.message for record in caplog.records] == ["rate_buckets.redis_away", "rate_buckets.redis_back"]


def test_outage_costs_one_wait_in_two_seconds(away: Away, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    resolve = socket.getaddrinfo

    def counted(*address: Any) -> Any:
        calls.append(time.monotonic())
        return resolve(*address)

    monkeypatch.setattr(socket, "getaddrinfo", counted)  # called for each connection
    for _ in range(50):
        rate_buckets.take(tenant_id, SLOW, 1)
    assert calls
    assert all(later - earlier >= redis_guards.OPEN_SECONDS for earlier, later in pairwise(calls))
    assert len(calls) < 50


def test_shared_bucket_is_used_again_when_the_broker_is_back(
    away: Away, tenant_id: UUID, change_platform_settings: ChangePlatformSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate_buckets.take(tenant_id, SLOW, 5)
    change_platform_settings(REDIS_URL=REAL_URL)
    rate_buckets._script.cache_clear()
    redis_guards._breaker_of.cache_clear()  # after the two seconds
    assert rate_buckets.take(tenant_id, SLOW, 8).granted == 5


def test_only_full_local_buckets_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_buckets, "MAX_LOCAL_BUCKETS", 2)
    buckets = rate_buckets.LocalBuckets()
    empty, quick = [Bucket("empty", SLOW)], Rate(1, 1)
    buckets.take(empty, 5)
    threads = [threading.Thread(target=buckets.take, args=([Bucket(f"{n}", quick)], 1)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert buckets.take(empty, 1)[0].granted == 0
    assert len(buckets._tats_us) <= 20


def test_connection_closed_by_the_server_is_reopened(tenant_id: UUID, caplog: pytest.LogCaptureFixture) -> None:
    rate_buckets.take(tenant_id, SLOW, 1)
    connection = rate_buckets._script()._idle[-1]
    connection.send_command("CLIENT", "ID")
    with broker_administrator() as other:
        assert other.client_kill_filter(_id=connection.read_response()) == 1
    assert rate_buckets.take(tenant_id, SLOW, 1).remaining == 3
    assert caplog.records == []


def test_script_unknown_to_the_server_is_loaded_again(tenant_id: UUID) -> None:
    rate_buckets.take(tenant_id, SLOW, 1)
    with broker_administrator() as other:
        other.script_flush()
    assert rate_buckets.take(tenant_id, SLOW, 1).remaining == 3


def test_late_answer_is_not_read_by_the_next_call(tenant_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    rate_buckets.take(tenant_id, SLOW, 1)
    connection = rate_buckets._script()._idle[-1]

    def come_late() -> None:
        raise redis.TimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(connection, "read_response", come_late)
        # The next call does not see the late answer yet.
        patched.setattr(connection, "can_read", lambda: False)
        rate_buckets.take(uuid4(), SLOW, 5)
        assert connection not in rate_buckets._script()._idle
        assert connection._sock is None
    redis_guards._breaker_of.cache_clear()  # after the two seconds
    assert rate_buckets.take(tenant_id, SLOW, 1).remaining == 3


def test_short_lived_threads_share_connections(tenant_id: UUID) -> None:
    for _ in range(20):
        thread = threading.Thread(target=rate_buckets.read_bucket, args=(tenant_id, SLOW))
        thread.start()
        thread.join()
    assert len(rate_buckets._script()._idle) == 1


def test_call_during_an_outage_connects_once(away: Away, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_guards, "OPEN_SECONDS", 0.0)
    connects = []

    def refuse(*address: object) -> None:
        connects.append(address)
        raise TimeoutError  # after which the driver could try again

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for _ in range(3):
        rate_buckets.take(tenant_id, SLOW, 1)
    assert len(connects) == 3


def test_threads_do_not_read_one_anothers_answers() -> None:
    rate = Rate.per_minute(1, burst=1_000)
    assert rate is not None

    def take_some(count: int) -> bool:
        tenant = uuid4()
        return all(rate_buckets.take(tenant, rate, count).granted == count for _ in range(20))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(take_some, range(1, 25)))
