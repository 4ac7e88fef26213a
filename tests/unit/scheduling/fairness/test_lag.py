"""Lags of the tenants of a queue: they add up to zero, and a tenant with too little service has a positive one."""

from __future__ import annotations

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.lag import BackloggedTenant, lags_us
from scheduling.fairness.nodes import virtual_service

A, B, C = uuid4(), uuid4(), uuid4()
SECOND_US = 1_000_000


def standing(tenant_id: UUID, weight: int, served_us: int) -> BackloggedTenant:
    return BackloggedTenant(tenant_id, weight * 1_000, virtual_service(served_us, weight * 1_000))


def test_lag_of_ideal_shares_is_zero() -> None:
    served = [standing(A, 1, 10 * SECOND_US), standing(B, 2, 20 * SECOND_US), standing(C, 4, 40 * SECOND_US)]
    assert lags_us(served) == {A: 0, B: 0, C: 0}


def test_excess_of_one_tenant_is_the_lag_of_others_by_weight() -> None:
    # Of 30 s, weights 1 and 2 give 10 and 20.
    assert lags_us([standing(A, 1, 16 * SECOND_US), standing(B, 2, 14 * SECOND_US)]) == {
        A: -6 * SECOND_US,
        B: 6 * SECOND_US,
    }


def test_lag_without_competition_is_zero() -> None:
    assert lags_us([standing(A, 3, 77)]) == {A: 0}
    assert lags_us([]) == {}


@given(st.lists(st.tuples(st.integers(1, 1_000_000), st.integers(-(2**62), 2**62)), min_size=1, max_size=30))
def test_lags_add_up_to_zero_except_for_rounding(served: list[tuple[int, int]]) -> None:
    standings = [BackloggedTenant(uuid4(), weight, vruntime) for weight, vruntime in served]
    lags = lags_us(standings)
    # Each is rounded down by less than a microsecond.
    assert -len(standings) < sum(lags.values()) <= 0
