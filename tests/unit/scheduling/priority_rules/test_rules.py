"""Priority rules without a database: which act, whom they move and by how much, and the replay of a line."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.shares import Move
from scheduling.priority_rules.replays import PastStart, replay_line
from scheduling.priority_rules.rules import MOST_SECONDS, PriorityTerms, effects_of, move_of

ACME, GLOBEX = UUID(int=1), UUID(int=2)
BUSY, OVERLOADED = 1, 2


def rule(name: str = "first", offset: int = 30, **terms: object) -> PriorityTerms:
    given_terms = {"from_level": BUSY, "kind": "", "tier": "", "failure_percent": 0, **terms}
    return PriorityTerms(name=name, offset_seconds=offset, **given_terms)  # type: ignore[arg-type]


def move(rules: list[PriorityTerms], level: int = BUSY, **job: object) -> Move | None:
    failing = {(ACME, "noop"): 60.0}
    about = {"kind": "noop", "tier": "team", "tenant_id": ACME, **job}
    return move_of(effects_of(rules, failing, level), **about)  # type: ignore[arg-type]


def test_rule_acts_from_its_load_state_on() -> None:
    rules = [rule(kind="noop", from_level=OVERLOADED)]
    assert move(rules, BUSY) is None
    assert move(rules, OVERLOADED) == Move(30, ("first",))


def test_rule_of_a_kind_and_a_tier_moves_no_others() -> None:
    rules = [rule(kind="noop", tier="team")]
    assert move(rules) == Move(30, ("first",))
    assert move(rules, kind="sleep") is None
    assert move(rules, tier="sandbox") is None


@pytest.mark.parametrize(("percent", "is_moved"), [(50, True), (60, False), (70, False)])
def test_rule_of_failures_moves_kinds_of_tenants_whose_share_is_greater(percent: int, *, is_moved: bool) -> None:
    rules = [rule(failure_percent=percent, offset=-10)]
    assert (move(rules) is not None) is is_moved
    assert move(rules, tenant_id=GLOBEX) is None
    assert move(rules, kind="sleep") is None


def test_rule_of_failures_of_another_kind_moves_nothing() -> None:
    assert move([rule(kind="sleep", failure_percent=50)]) is None


def test_offsets_add_up_within_the_bound() -> None:
    assert move([rule("a", 30, kind="noop"), rule("b", -10, kind="noop")]) == Move(20, ("a", "b"))
    assert move([rule("a", 200, kind="noop"), rule("b", 200, kind="noop")]) == Move(MOST_SECONDS, ("a", "b"))
    assert move([rule("a", 30, kind="noop"), rule("b", -30, kind="noop")]) is None


starts = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 40), st.integers(0, 50), st.sampled_from([0, 0, 20, -20])),
    min_size=1,
    max_size=40,
).map(lambda rows: [PastStart(rank, at, at + wait, offset) for rank, at, wait, offset in rows])


@given(line=starts)
def test_replay_gives_each_start_to_one_job_that_waited_then(line: list[PastStart]) -> None:
    for is_moved in (False, True):
        found = replay_line(line, is_moved=is_moved)
        assert sorted(found) == sorted(job.dispatched_us for job in line)
        assert all(at >= job.available_us for at, job in zip(found, line, strict=True))


@given(line=starts)
def test_replay_without_offsets_changes_nothing(line: list[PastStart]) -> None:
    still = [job._replace(offset_us=0) for job in line]
    assert replay_line(still, is_moved=True) == replay_line(still, is_moved=False)


def test_replay_starts_a_moved_job_before_older_ones() -> None:
    line = [PastStart(0, 0, 100, 0), PastStart(1, 1, 200, 0), PastStart(2, 2, 300, 50)]
    assert replay_line(line, is_moved=False) == [100, 200, 300]
    assert replay_line(line, is_moved=True) == [200, 300, 100]
