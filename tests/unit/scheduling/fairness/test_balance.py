"""Distribution of jobs over queues: by weights, by load, and never to a queue without workers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.balance import BalanceTarget, QueueLoad, Spread

ALIVE = {1: QueueLoad(0, 2), 2: QueueLoad(0, 2), 3: QueueLoad(0, 2)}
SEEDS = st.floats(0, 1, exclude_max=True)


def chosen(spread: Spread, targets: list[BalanceTarget], count: int) -> Counter[int]:
    return Counter(spread.by_weight(targets) for _ in range(count))


@given(seed=SEEDS, weights=st.lists(st.integers(1, 50), min_size=2, max_size=6), count=st.integers(1, 2_000))
def test_batch_is_split_by_the_weights(seed: float, weights: list[int], count: int) -> None:
    targets = [BalanceTarget(number, weight) for number, weight in enumerate(weights, start=1)]
    loads = {target.queue_id: QueueLoad(0, 1) for target in targets}
    found = chosen(Spread(seed, loads), targets, count)
    for target in targets:
        # The discrepancy of multiples of the golden ratio grows with the logarithm of their number.
        assert abs(found[target.queue_id] - count * target.weight / sum(weights)) <= 6


@given(seed=SEEDS)
def test_equal_batches_are_split_equally(seed: float) -> None:
    targets = [BalanceTarget(1, 1), BalanceTarget(2, 2), BalanceTarget(3, 4)]
    spreads = (Spread(seed, ALIVE), Spread(seed, ALIVE))
    first, second = ([spread.by_weight(targets) for _ in range(50)] for spread in spreads)
    assert first == second


def test_single_jobs_are_split_by_the_weights_over_many_seeds() -> None:
    targets = [BalanceTarget(1, 1), BalanceTarget(2, 3)]
    found = Counter(Spread(number / 4_000, ALIVE).by_weight(targets) for number in range(4_000))
    assert found[2] / 4_000 == pytest.approx(0.75, abs=0.01)


def test_queue_without_workers_gets_nothing_while_another_has_workers() -> None:
    targets = [BalanceTarget(1, 1_000), BalanceTarget(2, 1)]
    spread = Spread(0.3, {1: QueueLoad(0, 0), 2: QueueLoad(10**12, 1)})
    assert chosen(spread, targets, 100) == {2: 100}
    assert {spread.by_load(targets) for _ in range(100)} == {2}


def test_weights_decide_if_no_queue_has_workers() -> None:
    assert set(chosen(Spread(0.3, {}), [BalanceTarget(1), BalanceTarget(2)], 100)) == {1, 2}


def test_queue_with_least_work_per_slot_is_chosen_including_sent_jobs() -> None:
    loads = {1: QueueLoad(work_us=8_000_000, slots=8), 2: QueueLoad(work_us=4_000_000, slots=1)}
    spread = Spread(0, loads)
    targets = [BalanceTarget(1), BalanceTarget(2)]
    assert spread.by_load(targets) == 1
    found = Counter(spread.by_load(targets) for _ in range(899))
    # Finally both have the same work per slot: 8 + 900 jobs' seconds over 9 slots, approximately.
    assert (8 + found[1] + 1) / 8 == pytest.approx((4 + found[2]) / 1, abs=1)


def test_jobs_sent_by_other_batches_of_the_process_count() -> None:
    sent: dict[int, int] = {}
    targets = [BalanceTarget(1), BalanceTarget(2)]
    assert [Spread(0, ALIVE, sent).by_load(targets) for _ in range(4)] == [1, 2, 1, 2]
