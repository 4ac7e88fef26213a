"""Verdicts on shares: no sample of a fair pool is red, whatever changes, and an unfair order is red within a minute."""

from __future__ import annotations

import pytest

from scheduling.shares.verdicts import ComparedBin, EntitlementState, compare
from tests.share_minutes import SimulatedPool, by_name

MINUTE_US = 60e6
BELOW, FAIR, ABOVE = EntitlementState.BELOW, EntitlementState.FAIR, EntitlementState.ABOVE
OTHERS = ("b", "c", "d", "e", "f")


def minute(used: float, entitled: float, backlogged: float = 1.0) -> ComparedBin:
    """Return a minute with these mean slots."""
    return ComparedBin(MINUTE_US, backlogged * MINUTE_US, used * MINUTE_US, entitled * MINUTE_US)


def verdict_of(*bins: ComparedBin, longest_job_us: float = 1e6) -> EntitlementState:
    return compare(bins, longest_job_us=longest_job_us).verdict


@pytest.mark.parametrize(
    ("bins", "expected"),
    [
        ([], EntitlementState.IDLE),
        ([minute(1, 3, backlogged=0)], EntitlementState.IDLE),
        ([minute(0, 3, backlogged=0.9)], EntitlementState.UNKNOWN),
        ([minute(1, 3)], BELOW),
        ([minute(3, 3)], FAIR),
        ([minute(3, 1)], ABOVE),
        # Use without a backlog tells nothing: it used what it wanted.
        ([minute(0.1, 4, backlogged=0), minute(3, 3)], FAIR),
        # A new entitlement takes effect as jobs end: the old one and the new one count in that minute.
        ([minute(1, 1), minute(1, 3)], FAIR),
        ([minute(1, 1), minute(1, 3), minute(1, 3), minute(1, 3)], BELOW),
        ([minute(3, 3), minute(3, 1)], FAIR),
    ],
)
def test_verdict_follows_from_use_while_backlogged(bins: list[ComparedBin], expected: EntitlementState) -> None:
    assert verdict_of(*bins) is expected


def test_difference_of_a_running_job_has_no_meaning() -> None:
    assert verdict_of(minute(0.6, 1), longest_job_us=20e6) is FAIR
    assert verdict_of(minute(0.6, 1), longest_job_us=1e6) is BELOW
    # The longest jobs excuse half a minute.
    assert verdict_of(minute(0.2, 1), longest_job_us=3_600e6) is BELOW


def verdicts_of(pool: SimulatedPool) -> dict[str, EntitlementState]:
    """Return the verdicts that the minutes kept by now give."""
    last = pool.at // 60
    longest_us = max(line.seconds for line in pool.lines.values()) * 1e6
    found = {}
    for name in pool.lines:
        bins = []
        for number in range(last - 10, last + 1):
            key, until_sample = (name, number), min(60, max(0, pool.sampled_at - number * 60))
            until_now = min(60, max(1, pool.at - number * 60))
            used_us = pool.used[key] * until_sample / until_now
            bins.append(ComparedBin(until_sample * 1e6, pool.backlogged[key], used_us, pool.entitled[key]))
        found[name] = verdict_of(*bins, longest_job_us=longest_us)
    return found


@pytest.mark.parametrize("slots", [2, 4, 8])
@pytest.mark.parametrize("seconds", [1, 5, 9, 15])
@pytest.mark.parametrize("start", [60, 63, 97, 115])
def test_fair_pool_is_never_red(slots: int, seconds: int, start: int) -> None:
    """A tenant ran alone; five come at once, the weight of one is changed, another is paused and resumed."""
    pool = SimulatedPool(slots)
    seen: set[EntitlementState] = set()
    pool.submit("a", 10_000, seconds=seconds)
    for _ in range(start):
        pool.step()
    for second in range(300):
        if second == 0:
            for name in OTHERS:
                pool.submit(name, 2_000, seconds=seconds)
        pool.lines["b"].weight = 8.0 if second >= 90 else 1.0
        pool.lines["c"].is_paused = 150 <= second < 210
        if second == 210:
            pool.resume("c")
        pool.step()
        found = verdicts_of(pool)
        assert BELOW not in found.values(), (second, found)
        seen |= set(found.values())
    assert FAIR in seen


@pytest.mark.parametrize("slots", [2, 4])
@pytest.mark.parametrize("seconds", [1, 5, 15])
@pytest.mark.parametrize("start", [60, 63, 97, 115])
def test_unfair_order_is_red_within_a_minute(slots: int, seconds: int, start: int) -> None:
    pool = SimulatedPool(slots, order=by_name)
    pool.submit("a", 10_000, seconds=seconds)
    for _ in range(start):
        pool.step()
    pool.submit("b", 100, seconds=seconds)
    verdicts = []
    for _ in range(60):
        pool.step()
        verdicts.append(verdicts_of(pool)["b"])
    assert verdicts[-1] is BELOW
    assert set(verdicts[:45]) <= {EntitlementState.IDLE, EntitlementState.UNKNOWN}
