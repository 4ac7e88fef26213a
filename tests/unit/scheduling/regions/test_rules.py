"""Rules of residency, and the choice of the nearest queue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.balance import BalanceTarget, QueueLoad, Spread
from scheduling.regions.rules import ANYWHERE, Residency

REGIONS = st.sampled_from(["", "asia", "eu", "us"])


@given(region=REGIONS)
def test_tenant_without_allowed_regions_runs_everywhere(region: str) -> None:
    assert ANYWHERE.allows(region)


def test_tenant_with_allowed_regions_runs_in_no_pool_without_a_region() -> None:
    assert not Residency("eu", ["eu"]).allows("")


def test_home_is_nearest_then_the_allowed_regions_in_their_order() -> None:
    residency = Residency("us", ["eu", "us", "asia"])
    assert sorted(["asia", "", "eu", "us"], key=residency.distance) == ["us", "eu", "asia", ""]


def test_nearest_queue_without_live_slots_yields_to_the_next() -> None:
    near, far = BalanceTarget(1, distance=0), BalanceTarget(2, distance=1)
    assert Spread(loads={1: QueueLoad(0, 1), 2: QueueLoad(0, 1)}).by_distance([far, near]) == 1
    assert Spread(loads={2: QueueLoad(0, 1)}).by_distance([far, near]) == 2


def test_equally_near_queues_are_chosen_by_load() -> None:
    targets = [BalanceTarget(1), BalanceTarget(2)]
    spread = Spread(loads={1: QueueLoad(9_000_000, 1), 2: QueueLoad(0, 1)})
    assert spread.by_distance(targets) == 2
