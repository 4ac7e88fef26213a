"""Cache with limits on entries and age."""

from __future__ import annotations

import pytest

from tenants.cache import bounded_cache
from tenants.cache.bounded_cache import BoundedCache


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock as a list whose only element is the time."""
    now = [1_000.0]
    monkeypatch.setattr(bounded_cache.time, "monotonic", lambda: now[0])
    return now


def test_value_is_returned_until_it_expires(clock: list[float]) -> None:
    cache: BoundedCache[str, int] = BoundedCache(most=2, seconds=60.0)
    assert cache.get("a") is None
    cache.put("a", 1)
    clock[0] += 59.5
    assert cache.get("a") == 1
    clock[0] += 0.5
    assert cache.get("a") is None
    clock[0] -= 60.0
    assert cache.get("a") is None


def test_read_does_not_extend_the_lifetime_of_an_entry(clock: list[float]) -> None:
    cache: BoundedCache[str, int] = BoundedCache(most=2, seconds=60.0)
    cache.put("a", 1)
    for _ in range(3):
        clock[0] += 20.0
        value = cache.get("a")
    assert value is None


def test_least_recently_used_entry_is_evicted(clock: list[float]) -> None:
    cache: BoundedCache[str, int] = BoundedCache(most=2, seconds=60.0)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_put_replaces_a_value_and_restarts_its_lifetime(clock: list[float]) -> None:
    cache: BoundedCache[str, int] = BoundedCache(most=2, seconds=60.0)
    cache.put("a", 1)
    clock[0] += 59.0
    cache.put("a", 2)
    clock[0] += 59.0
    assert cache.get("a") == 2


def test_clear_removes_every_entry() -> None:
    cache: BoundedCache[str, int] = BoundedCache(most=2, seconds=60.0)
    cache.put("a", 1)
    cache.clear()
    assert cache.get("a") is None
