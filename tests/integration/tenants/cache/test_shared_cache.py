"""The shared cache: memory, then Redis, then PostgreSQL; bounded in age, and complete without Redis."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.conf import settings as django_settings
from django.test import override_settings

from tenants.cache import redis_guards, shared_cache
from tenants.cache.shared_cache import SharedCache
from tenants.database.platform_settings import PlatformSettings
from tenants.limits.service import set_tenant_limit
from tenants.limits.usage import CachedLimits
from tenants.models import Tenant
from tenants.settings.schema import tenant_setting
from tenants.settings.service import change_settings
from tenants.signals import cache_asked
from tests.platform_settings import override_platform_settings

pytestmark = pytest.mark.django_db


class Clock:
    """A monotonic clock for this process's memory, which the test advances."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Enable the caches, with the test's own clock and a fresh connection to Redis."""
    made = Clock()
    for module in (shared_cache, redis_guards):
        monkeypatch.setattr(module, "time", made)
    shared_cache._shared.cache_clear()
    # Long enough that no key in Redis expires during a test on a slow machine.
    with override_platform_settings(CONFIGURATION_CACHE_SECONDS=60.0):
        yield made
    shared_cache._shared.cache_clear()


@pytest.fixture
def places() -> Iterator[list[str]]:
    read_places: list[str] = []

    def note(sender: object, *, place: str, **_: Any) -> None:
        read_places.append(place)

    cache_asked.connect(note)
    yield read_places
    cache_asked.disconnect(note)


class Source:
    """A stand-in for PostgreSQL that counts its reads."""

    def __init__(self) -> None:
        self.value, self.asked = "one", 0

    def __call__(self) -> str:
        self.asked += 1
        return self.value


def two_processes() -> tuple[SharedCache[str], SharedCache[str]]:
    name = f"test-{uuid4()}"
    return SharedCache(name, str), SharedCache(name, str)


def key_in_redis(cache: SharedCache[Any]) -> tuple[redis.Redis, str]:
    return redis.Redis.from_url(str(django_settings.CACHES["default"]["LOCATION"])), cache._name_of("k")


def test_memory_is_read_before_redis_and_redis_before_the_database(clock: Clock, places: list[str]) -> None:
    first, second = two_processes()
    source = Source()
    assert [first.get("k", source), first.get("k", source), second.get("k", source)] == ["one"] * 3
    assert source.asked == 1
    assert places == ["database", "shared"]


def test_hits_in_memory_are_signalled_at_the_next_other_read(clock: Clock) -> None:
    signals: list[tuple[str, int]] = []

    def note(sender: object, *, place: str, count: int, **_: Any) -> None:
        signals.append((place, count))

    cache, _ = two_processes()
    cache_asked.connect(note)
    try:
        for _ in range(4):
            cache.get("k", Source())
        assert signals == [("database", 1)]
        clock.now += 61
        cache.get("k", Source())
        assert signals == [("database", 1), ("memory", 3), ("shared", 1)]
        clock.now += 61
        cache.get("k", Source())
        assert signals[3:] == [("shared", 1)]
    finally:
        cache_asked.disconnect(note)


def test_unchanged_document_is_not_decoded_again(clock: Clock) -> None:
    made: list[str] = []

    def make(document: str) -> list[str]:
        made.append(document)
        return [document]

    cache = SharedCache(f"test-{uuid4()}", make)
    source = Source()
    first = cache.get("k", source)
    clock.now += 61
    assert cache.get("k", source) is first
    assert made == ["one"]
    source.value = "two"
    _shared_drop(cache)
    clock.now += 61
    assert cache.get("k", source) == ["two"]


def _shared_drop(cache: SharedCache[Any]) -> None:
    connection, name = key_in_redis(cache)
    connection.delete(name)  # as on expiry


def test_entry_is_never_older_than_its_limit(clock: Clock, places: list[str]) -> None:
    first, second = two_processes()
    source = Source()
    first.get("k", source)
    connection, name = key_in_redis(first)
    assert 0 < connection.pttl(name) <= 60_000
    source.value = "two"
    clock.now += 59.9
    assert first.get("k", source) == "one"
    connection.delete(name)  # as on expiry
    clock.now += 0.2
    assert [first.get("k", source), second.get("k", source)] == ["two", "two"]


def test_slow_read_is_not_shared(clock: Clock) -> None:
    first, _ = two_processes()

    def slow() -> str:
        clock.now += 61
        return "old by now"

    assert first.get("k", slow) == "old by now"
    connection, name = key_in_redis(first)
    assert connection.get(name) is None
    source = Source()
    assert first.get("k", source) == "one"


def test_configured_age_is_below_one_second_in_total() -> None:
    # Redis for so long, one reply of it, and memory for as long again.
    assert 2 * PlatformSettings(dict).CONFIGURATION_CACHE_SECONDS + shared_cache.TIMEOUT_SECONDS < 1


def test_unreachable_redis_is_skipped(clock: Clock, monkeypatch: pytest.MonkeyPatch, places: list[str]) -> None:
    asked: list[int] = []

    def away(client: Any, *_: Any, **__: Any) -> None:
        asked.append(1)
        raise redis.ConnectionError("away")

    monkeypatch.setattr(redis.Redis, "execute_command", away)
    first, second = two_processes()
    source = Source()
    assert [first.get("k", source), second.get("k", source)] == ["one", "one"]
    # Once, and not again before its time.
    assert (source.asked, len(asked)) == (2, 1)
    clock.now += 61
    source.value = "two"
    assert first.get("k", source) == "two"
    assert len(asked) > 1


def planted(cache: SharedCache[Any], document: bytes) -> str:
    """Return the cache's answer if the document is stored in Redis under its key, and PostgreSQL returns "one"."""
    connection, name = key_in_redis(cache)
    connection.set(name, document, px=60_000)
    return str(cache.get("k", Source()))


def document_of(cache: SharedCache[Any], source: Source) -> bytes:
    cache.get("k", source)
    connection, name = key_in_redis(cache)
    return connection.get(name) or b""  # type: ignore[return-value]


@pytest.mark.parametrize("document", [b'"theirs"', b"", b"\x80\x04", bytes(40) + b'"theirs"'])
def test_document_without_signature_counts_as_missing(
    clock: Clock, document: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_guards, "LOG_SECONDS", -math.inf)  # each refusal is logged
    first, second = two_processes()
    assert planted(first, document) == "one"
    assert caplog.text.count("shared_cache.refused") == 1
    # It is replaced, so that only one read goes to PostgreSQL.
    source = Source()
    assert (second.get("k", source), source.asked) == ("one", 0)


def test_document_of_another_key_counts_as_missing(clock: Clock) -> None:
    (other, _), (first, _) = two_processes(), two_processes()
    source = Source()
    source.value = "of another"
    assert planted(first, document_of(other, source)) == "one"


def test_document_older_than_a_minute_counts_as_missing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = two_processes()
    source = Source()
    source.value = "replaced since"
    document = document_of(first, source)
    assert planted(second, document) == "replaced since"
    now = time.time()
    monkeypatch.setattr(shared_cache, "wall_clock", lambda: now + 61)
    clock.now += 61
    assert planted(second, document) == "one"


def test_document_of_a_fallback_secret_key_is_read(clock: Clock) -> None:
    first, second = two_processes()
    document = document_of(first, Source())
    old = django_settings.SECRET_KEY
    with override_settings(SECRET_KEY="another key", SECRET_KEY_FALLBACKS=[old]):
        source = Source()
        assert (second.get("k", source), source.asked) == ("one", 0)
    with override_settings(SECRET_KEY="another key"):
        third = SharedCache(first.name, str)
        source = Source()
        source.value = "two"
        connection, name = key_in_redis(third)
        connection.set(name, document, px=60_000)
        assert third.get("k", source) == "two"


def test_secret_document_stays_in_the_process(clock: Clock) -> None:
    cache = SharedCache(f"test-{uuid4()}", str, is_secret=lambda document: document == "one")
    source = Source()
    assert [cache.get("k", source), cache.get("k", source), str(source.asked)] == ["one", "one", "1"]
    connection, name = key_in_redis(cache)
    assert connection.get(name) is None


def test_forgotten_entry_is_removed_from_redis(clock: Clock) -> None:
    first, second = two_processes()
    source = Source()
    first.get("k", source)
    source.value = "two"
    first.forget("k")
    assert [first.get("k", source), second.get("k", source)] == ["two", "two"]


def test_disabled_cache_stores_nothing() -> None:
    first, _ = two_processes()
    source = Source()
    with override_platform_settings(CONFIGURATION_CACHE_SECONDS=0):
        assert [first.get("k", source), first.get("k", source)] == ["one", "one"]
    assert source.asked == 2


def test_settings_and_limits_are_cached_per_tenant(
    acme: Tenant, globex: Tenant, clock: Clock, django_assert_num_queries: Any, django_capture_on_commit_callbacks: Any
) -> None:
    from scheduling.limits.declared import MAX_WAITING_JOBS

    with django_capture_on_commit_callbacks(execute=True):
        change_settings(tenant=acme, values={"timezone": "Asia/Tokyo"})
    set_tenant_limit(tenant=acme, key=MAX_WAITING_JOBS.key, value=7, reason="test")

    kept = CachedLimits("limits", [MAX_WAITING_JOBS])

    def read(tenant: Tenant) -> tuple[Any, int | None]:
        limits = kept.get(tenant.pk)
        return tenant_setting(tenant, "timezone"), limits[MAX_WAITING_JOBS.key].allowed

    from tenants.context import tenant_context

    for tenant, wanted in ((acme, "Asia/Tokyo"), (globex, "UTC")):
        with tenant_context(tenant):
            first = read(tenant)
            assert first[0] == wanted
            with django_assert_num_queries(0):
                assert read(tenant) == first
    with tenant_context(acme):
        assert read(acme)[1] == 7
