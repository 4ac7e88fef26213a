"""Water-filling over the tree, as tables."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements, jain_index, water_fill

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)


@pytest.mark.parametrize(
    ("amount", "weights", "caps", "expected"),
    [
        (6, [1, 2], [9, 9], [2, 4]),  # by weight
        (6, [1, 2], [9, 3], [3, 3]),  # the excess above a cap goes to the others
        (6, [1, 1, 1], [1, 2, 9], [1, 2, 3]),  # two caps, one after the other
        (6, [1, 1], [1, 2], [1, 2]),  # every tenant capped: the rest idles
        (6, [1, 2], [0, 9], [0, 6]),  # a cap of zero
        (0, [1, 2], [9, 9], [0, 0]),  # nothing to share
        (4, [], [], []),  # no tenants
    ],
)
def test_water_fill_distributes_by_weight_up_to_the_caps(
    amount: float, weights: list[float], caps: list[float], expected: list[float]
) -> None:
    assert water_fill(amount, weights, caps) == pytest.approx(expected)


@given(
    amount=st.floats(0, 1_000),
    rows=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 60)), min_size=1, max_size=8),
)
def test_water_fill_distributes_the_whole_amount(amount: float, rows: list[tuple[int, int]]) -> None:
    weights, caps = [row[0] for row in rows], [row[1] for row in rows]
    shares = water_fill(amount, weights, caps)
    assert sum(shares) == pytest.approx(min(amount, sum(caps)), abs=1e-6)
    assert all(share <= cap + 1e-6 for share, cap in zip(shares, caps, strict=True))


def test_queues_share_first_and_tenants_inside_them() -> None:
    queues = [
        QueueDemand(1, 1, 99, [TenantDemand(A, 1, 99)]),
        QueueDemand(2, 3, 99, [TenantDemand(B, 1, 99), TenantDemand(C, 2, 99)]),
    ]
    assert entitlements(8, queues) == pytest.approx({(1, A): 2, (2, B): 2, (2, C): 4})


def test_tenant_in_two_queues_has_one_cap() -> None:
    queues = [
        QueueDemand(1, 1, 99, [TenantDemand(A, 1, 2), TenantDemand(B, 1, 99)]),
        QueueDemand(2, 1, 99, [TenantDemand(A, 1, 2)]),
    ]
    shares = entitlements(8, queues)
    assert shares[1, A] + shares[2, A] <= 2 + 1e-6
    assert sum(shares.values()) == pytest.approx(8)


def test_jain_index_is_one_for_equals_and_falls_with_inequality() -> None:
    assert jain_index([2, 2, 2]) == pytest.approx(1)
    assert jain_index([1, 0, 0]) == pytest.approx(1 / 3)
    assert jain_index([]) == 1.0
