"""Lift and ranking: which values explain the bad part of a sample, and which suspects come first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from scheduling.investigation.lift import Explanation, Group, Suspect, explain, rank

ONSET = datetime(2026, 5, 1, 12, tzinfo=UTC)


def group(bad: float, rest: float, **values: str) -> Group:
    return Group(values, bad, rest)


def of(found: list[Explanation]) -> list[tuple[tuple[str, str], ...]]:
    return [one.values for one in found]


def test_value_that_fails_more_often_explains_the_failures() -> None:
    groups = [group(40, 10, worker="one"), group(2, 200, worker="two"), group(1, 210, worker="three")]
    (found,) = explain(groups, ["worker"])
    assert found.values == (("worker", "one"),)
    assert round(found.share, 2) == 0.93
    assert found.lift > 50


def test_value_of_all_executions_explains_nothing() -> None:
    assert explain([group(40, 60, kind="noop")], ["kind"]) == []


def test_difference_that_may_be_chance_explains_nothing() -> None:
    assert explain([group(3, 10, queue="a"), group(1, 10, queue="b")], ["queue"]) == []


def test_value_of_few_failures_is_left_out() -> None:
    groups = [group(10, 0, tenant="small"), group(90, 900, tenant="large")]
    assert of(explain(groups, ["tenant"])) == []


def test_values_of_the_same_executions_are_one_explanation() -> None:
    groups = [group(40, 0, worker="one", version="2"), group(1, 200, worker="two", version="1")]
    assert of(explain(groups, ["worker", "version"])) == [(("worker", "one"), ("version", "2"))]


def test_pair_that_fails_only_together_comes_first() -> None:
    groups = [
        group(50, 0, tenant="acme", version="2"),
        group(0, 50, tenant="acme", version="1"),
        group(0, 50, tenant="globex", version="2"),
        group(0, 50, tenant="globex", version="1"),
    ]
    (pair,) = explain(groups, ["tenant", "version"])
    assert set(pair.values) == {("tenant", "acme"), ("version", "2")}


def test_empty_sample_has_no_explanation() -> None:
    assert explain([], ["kind"]) == []
    assert explain([group(0, 50, kind="noop"), group(0, 5, kind="other")], ["kind"]) == []


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.sampled_from("abc"), st.sampled_from("xy"))))
def test_shares_and_weights_are_parts_of_one(rows: list[tuple[int, int, str, str]]) -> None:
    groups = [group(bad, rest, one=one, two=two) for bad, rest, one, two in rows]
    for found in explain(groups, ["one", "two"]):
        assert 0 <= found.usual <= 1
        assert 0.2 <= found.share <= 1
        assert 0 <= found.weight < 1
        assert found.lift > 1


def test_random_failures_are_rarely_explained() -> None:
    random, explained = Random(7), 0
    for _ in range(100):
        groups = [group(bad := random.binomialvariate(200, 0.1), 200 - bad, worker=str(n)) for n in range(4)]
        explained += bool(explain(groups, ["worker"]))
    assert explained <= 3


def suspect(key: str, prior: float = 0.8, minutes: float = 0, *names: str, **options: object) -> Suspect:
    at = ONSET - timedelta(minutes=minutes)
    return Suspect(key, key, prior, at, frozenset(names), **options)  # type: ignore[arg-type]


def order(*suspects: Suspect, names: tuple[str, ...] = ("pipeline",)) -> list[str]:
    return [one.key for _score, one in rank(suspects, ONSET, frozenset(names), 20)]


def test_change_of_the_subject_comes_before_that_of_another() -> None:
    assert order(suspect("other", 0.9, 0, "documents"), suspect("own", 0.8, 20, "pipeline")) == ["own", "other"]


def test_later_change_comes_first() -> None:
    assert order(suspect("old", 0.8, 60, "pipeline"), suspect("new", 0.8, 2, "pipeline")) == ["new", "old"]


def test_change_after_the_onset_counts_as_at_the_onset() -> None:
    late, early = suspect("late", 0.8, -1, "pipeline"), suspect("early", 0.8, 1, "pipeline")
    assert late.score(ONSET, {"pipeline"}) == 0.8
    assert order(early, late) == ["late", "early"]


def test_changes_of_one_row_are_one_suspect_with_all_evidence() -> None:
    first = suspect("queue", 0.8, 30, "pipeline", evidence=("weight",))
    second = suspect("queue", 0.8, 1, "pipeline", evidence=("cap",))
    ((score, found),) = rank([first, second], ONSET, {"pipeline"}, 20)
    assert found.evidence == ("cap", "weight")
    assert score == second.score(ONSET, {"pipeline"})


def test_change_of_the_whole_platform_counts_without_a_common_name() -> None:
    wide, foreign = suspect("plan", 0.7, 5, "gold", least=0.5), suspect("queue", 0.9, 1, "documents")
    assert order(foreign, wide) == ["plan", "queue"]


def test_suspects_are_bounded() -> None:
    assert len(rank((suspect(str(n)) for n in range(50)), ONSET, frozenset(), 20)) == 20
