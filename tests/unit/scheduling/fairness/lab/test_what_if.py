"""The what-if: shares follow the weights before and after, the greatest losses come first, and results have notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from scheduling.fairness.lab import Arrivals, OrderPolicy, slices
from scheduling.fairness.lab.load import (
    Change,
    PlanTerms,
    PoolScenario,
    QueueTerms,
    TenantTerms,
    TierTerms,
    UnknownNameError,
)
from scheduling.fairness.lab.what_if import NoteCode, WhatIf, what_if

SECOND = 1_000_000


def backlog(tenants: int, jobs_each: int, *, cost_us: int = SECOND) -> Arrivals:
    entities = [tenant for _ in range(jobs_each) for tenant in range(tenants)]
    return Arrivals([0] * len(entities), entities, [cost_us] * len(entities))


# One tenant per plan, each with more work than fits into the time.
LOAD = PoolScenario(
    pool="default",
    slots=7,
    policy=OrderPolicy.CFS,
    granularity_seconds=120,
    queues=[QueueTerms("work")],
    plans={"sandbox": PlanTerms(1, 100), "team": PlanTerms(2, 100), "professional": PlanTerms(4, 100)},
    tenants=[TenantTerms("s", "sandbox"), TenantTerms("t", "team"), TenantTerms("p", "professional")],
    tiers={},
    places=[(0, 0), (0, 1), (0, 2)],
    arrivals=backlog(3, 1_000),
    seconds=100.0,
)


def shares(result: WhatIf) -> dict[str, tuple[float, float]]:
    return {line.name: (round(line.now.share, 2), round(line.after.share, 2)) for line in result.plans}


def codes(result: WhatIf) -> Sequence[NoteCode]:
    return [note.code for note in result.notes]


def test_empty_change_leaves_the_result_unchanged() -> None:
    result = what_if(LOAD, Change())
    assert result.now == result.after
    assert result.losers == []
    assert shares(result) == {"sandbox": (0.14, 0.14), "team": (0.29, 0.29), "professional": (0.57, 0.57)}
    assert result.now.jain == pytest.approx(1.0, abs=0.001)


def test_changed_plan_weight_changes_its_share() -> None:
    result = what_if(LOAD, Change(plan_weights={"sandbox": 4, "team": 2}))
    assert shares(result) == {"sandbox": (0.14, 0.40), "team": (0.29, 0.20), "professional": (0.57, 0.40)}
    # The greatest loss of worker time comes first.
    assert [line.name for line in result.losers] == ["p", "t"]
    assert result.losers[0].lost_seconds == pytest.approx(120, abs=10)
    assert not next(line for line in result.tenants if line.name == "s").is_loser


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Change(tenant_factors={"s": 4}), {"sandbox": 0.40, "team": 0.20, "professional": 0.40}),
        (Change(tenant_caps={"p": 1}), {"sandbox": 0.29, "team": 0.57, "professional": 0.14}),
        (Change(plan_caps={"professional": 1}), {"sandbox": 0.29, "team": 0.57, "professional": 0.14}),
        # First in, first out ignores weights, and all jobs arrived alternately.
        (Change(policy=OrderPolicy.FIFO), {"sandbox": 0.33, "team": 0.33, "professional": 0.33}),
    ],
)
def test_each_term_can_be_changed(change: Change, expected: dict[str, float]) -> None:
    after = {line.name: line.after.share for line in what_if(LOAD, change).plans}
    assert after == pytest.approx(expected, abs=0.015)


def test_doubled_slots_double_the_worker_seconds() -> None:
    result = what_if(LOAD, Change(slots=14))
    assert (result.now.worker_seconds, result.after.worker_seconds) == (700, 1_400)
    assert (result.now.busy_part, result.after.busy_part) == (1, 1)
    assert result.after.starts == 2 * result.now.starts


def two_queues() -> PoolScenario:
    return replace(
        LOAD,
        queues=[QueueTerms("left", 1), QueueTerms("right", 1)],
        tenants=[TenantTerms("l", "team"), TenantTerms("r", "team")],
        places=[(0, 0), (1, 1)],
        arrivals=backlog(2, 1_000),
    )


@pytest.mark.parametrize(
    ("load", "change", "expected"),
    [
        (two_queues(), Change(queue_weights={"left": 3}), 0.75),
        (two_queues(), Change(queue_caps={"left": 1}), 1 / 7),
        (
            replace(two_queues(), tiers={"a": TierTerms("left", 1), "b": TierTerms("right", 1)}),
            Change(tier_weights={"a": 3}),
            0.75,
        ),
        # The plan's weight of a queue takes precedence over the queue's own.
        (replace(two_queues(), tiers={"a": TierTerms("left", 1)}), Change(queue_weights={"left": 3}), 0.5),
    ],
)
def test_queues_and_tiers_can_be_changed(load: PoolScenario, change: Change, expected: float) -> None:
    left = next(line for line in what_if(load, change).tenants if line.name == "l")
    assert left.after.share == pytest.approx(expected, abs=0.01)


def test_jobs_that_never_start_count_with_the_whole_time_as_wait() -> None:
    load = replace(LOAD, slots=1, arrivals=Arrivals([0] * 10, [0] * 10, [60 * SECOND] * 10))
    outcome = what_if(load, Change()).plans[-2].now
    assert (outcome.starts, outcome.unstarted, outcome.wait_p50_seconds) == (2, 8, 100.0)


def test_unreliable_results_have_notes() -> None:
    nothing = replace(LOAD, arrivals=Arrivals([], [], []))
    assert codes(what_if(nothing, Change())) == [NoteCode.NO_ARRIVALS]
    assert what_if(nothing, Change()).plans[0].now.wait_p50_seconds is None
    assert codes(what_if(replace(LOAD, slots=0), Change())) == [NoteCode.NO_SLOTS]
    assert codes(what_if(replace(LOAD, arrivals=backlog(3, 2)), Change())) == [NoteCode.FEW_STARTS]
    sampled = what_if(replace(LOAD, stands_for=10), Change())
    assert codes(sampled) == [NoteCode.SAMPLED]
    assert sampled.arrivals == 30_000


@pytest.mark.parametrize(
    "change",
    [
        Change(plan_weights={"gold": 1}),
        Change(plan_caps={"gold": 1}),
        Change(tenant_factors={"x": 1}),
        Change(tenant_caps={"x": 1}),
        Change(queue_weights={"x": 1}),
        Change(queue_caps={"x": 1}),
        Change(tier_weights={"x": 1}),
    ],
)
def test_unknown_name_is_refused(change: Change) -> None:
    with pytest.raises(UnknownNameError, match=r"gold|x"):
        what_if(LOAD, change)


def test_replay_with_too_many_slices_omits_slices_and_has_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    load = replace(
        LOAD, slots=2, policy=OrderPolicy.TIME_SLICE, granularity_seconds=1, arrivals=backlog(3, 4, cost_us=9 * SECOND)
    )
    assert NoteCode.UNSLICED not in codes(what_if(load, Change()))
    monkeypatch.setattr(slices, "MOST_LOOKS", 10)
    cut = what_if(load, Change())
    assert NoteCode.UNSLICED in codes(cut)
    assert cut.now.starts > 0
