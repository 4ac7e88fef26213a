"""Routing strategies: how they are found, and the bounds within which they are called."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from scheduling.jobs.routing import strategies
from scheduling.jobs.routing.strategies import check_balance, find_strategy, strategy_names
from scheduling.jobs.routing.strategy_calls import (
    BATCH_SECONDS,
    CALL_SECONDS,
    CLOCK_FACTOR,
    MAX_REASON_CHARACTERS,
    MOST_LATE,
    PAUSE_SECONDS,
    Cause,
    NoChoice,
    StrategyCaller,
    TimeAllowance,
)
from scheduling.jobs.routing.time_bound import OutOfTimeError, time_bound, watch
from scheduling.kit.routing import CandidateQueue, Choice, Choose, ReadOnlyObject, RoutedJob
from tenants.exceptions import FieldInvalidError
from tests import routing_strategies
from tests.routing_strategies import install

JOB = RoutedJob("noop", "team", "eu", ReadOnlyObject({"source": {"pages": 101, "names": [{"a": 1}]}}), ("west",))
POOLS = [
    CandidateQueue("east", "p1", live_slots=1, waiting_seconds=5.0),
    CandidateQueue("west", "p2", live_slots=2, waiting_seconds=9.0),
]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    strategies.reset()


class Clocks:
    """Two clocks that a strategy of this test moves on by what a call costs."""

    def __init__(self, cpu_cost: float = 0.0, cost: float = 0.0) -> None:
        self.cpu, self.clock, self.cpu_cost, self.cost = 0.0, 1_000.0, cpu_cost, cost
        self.caller = StrategyCaller(lambda: self.cpu, lambda: self.clock)

    def choose(self, job: RoutedJob, pools: Any) -> str:
        self.cpu += self.cpu_cost
        self.clock += self.cost
        return "east"

    def call(self, allowance: TimeAllowance | None = None) -> Choice | NoChoice:
        return self.caller.call("any", self.choose, JOB, POOLS, allowance or TimeAllowance())


def call(name: str) -> Choice | NoChoice:
    choose: Choose = getattr(routing_strategies, name)
    watch(choose)
    return StrategyCaller().call(name, choose, JOB, POOLS, TimeAllowance())


def test_strategy_chooses_with_a_reason() -> None:
    assert call("by_pages") == Choice("east", "long document, team")
    assert call("most_slots") == Choice("west")
    assert call("shortest") == Choice("east")
    assert call("tagged") == Choice("west", "tag west")


@pytest.mark.parametrize(
    ("name", "cause", "detail"),
    [
        ("raising", Cause.RAISED_ERROR, "ValueError"),
        ("changing", Cause.RAISED_ERROR, "TypeError"),
        ("junk", Cause.NAMED_NO_QUEUE, "dict"),
        ("coroutine", Cause.NAMED_NO_QUEUE, "coroutine"),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine 'coroutine' was never awaited:RuntimeWarning")
def test_bad_answer_is_a_cause_to_fall_back(name: str, cause: Cause, detail: str) -> None:
    assert call(name) == NoChoice(cause, detail)


def test_foreign_queue_and_reason_are_cut_to_one_line() -> None:
    found = call("foreign")
    assert isinstance(found, NoChoice)
    assert found.cause is Cause.NAMED_NO_QUEUE
    assert found.detail.startswith("elsewhere  xxx")
    assert len(found.detail) == MAX_REASON_CHARACTERS
    garrulous = call("garrulous")
    assert isinstance(garrulous, Choice)
    assert garrulous.reason.startswith("line and éé")
    assert len(garrulous.reason) == MAX_REASON_CHARACTERS
    assert call("unreasonable") == Choice("east", "")


def test_endless_strategy_is_interrupted() -> None:
    assert call("endless") == NoChoice(Cause.TOO_SLOW)


def test_waiting_strategy_is_too_slow_by_the_clock() -> None:
    assert call("sleeping") == NoChoice(Cause.TOO_SLOW)


def test_time_bound_ends_with_its_block() -> None:
    watch(routing_strategies.endless)
    with pytest.raises(OutOfTimeError), time_bound(cpu_seconds=0.001, seconds=10):
        routing_strategies._recurse(0)
    with time_bound(cpu_seconds=0.0, seconds=10):
        pass
    routing_strategies._recurse(10**9 - 10)


@pytest.mark.parametrize(
    "costs", [{"cpu_cost": CALL_SECONDS * 1.1}, {"cost": CALL_SECONDS * CLOCK_FACTOR * 1.1}], ids=["cpu", "clock"]
)
def test_strategy_is_set_aside_after_three_slow_calls_for_a_pause(costs: dict[str, float]) -> None:
    clocks = Clocks(**costs)
    assert [clocks.call() for _ in range(MOST_LATE)] == [NoChoice(Cause.TOO_SLOW)] * MOST_LATE
    assert clocks.call() == NoChoice(Cause.SET_ASIDE)
    clocks.cpu_cost = clocks.cost = 0.0
    clocks.clock += PAUSE_SECONDS + 1
    assert clocks.call() == Choice("east")


def test_rare_slow_calls_set_nothing_aside() -> None:
    clocks = Clocks(cpu_cost=CALL_SECONDS * 1.1)
    for _ in range(10):
        assert clocks.call() == NoChoice(Cause.TOO_SLOW)
        clocks.clock += PAUSE_SECONDS / 2 + 1


def test_calls_of_one_submission_share_its_time() -> None:
    clocks, allowance = Clocks(cpu_cost=CALL_SECONDS * 0.9), TimeAllowance()
    found = [clocks.call(allowance) for _ in range(1_000)]
    chosen = found.count(Choice("east"))
    assert chosen * CALL_SECONDS * 0.9 <= BATCH_SECONDS + CALL_SECONDS
    assert found[chosen:] == [NoChoice(Cause.BATCH_TOO_SLOW)] * (1_000 - chosen)
    assert clocks.call() == Choice("east")


def test_payload_is_read_only_at_any_depth() -> None:
    source = JOB.payload["source"]
    assert (source["names"][0]["a"], len(source), sorted(source)) == (1, 2, ["names", "pages"])
    assert source == {"pages": 101, "names": ({"a": 1},)}
    places: list[Any] = [JOB.payload, source, source["names"][0]]
    for place in places:
        with pytest.raises(TypeError):
            place["a"] = 2


def test_strategies_are_found_by_apps_and_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "by_pages")
    point = EntryPoint("packaged", "tests.routing_strategies:most_slots", strategies.ENTRY_POINT_GROUP)
    monkeypatch.setattr(strategies, "entry_points", lambda group: [point])
    assert strategy_names() == ["by_pages", "packaged"]
    assert find_strategy("by_pages") is routing_strategies.by_pages
    assert find_strategy("packaged") is routing_strategies.most_slots
    assert find_strategy("other") == NoChoice(Cause.NOT_INSTALLED)


@pytest.mark.parametrize("name", ["NOT_CALLABLE", "one_argument", "coroutine", "missing", "no_module.at_all"])
def test_unusable_strategy_has_a_fault(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    install(monkeypatch, name)
    found = find_strategy(name.rpartition(".")[2].lower())
    assert isinstance(found, NoChoice)
    assert found.cause is Cause.NOT_USABLE
    assert name in found.detail


def test_names_of_the_platform_and_names_that_no_rule_can_have_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    names = ["weighted", "Upper", "with space", "x" * 41, "good"]
    points = [EntryPoint(name, "tests.routing_strategies:shortest", strategies.ENTRY_POINT_GROUP) for name in names]
    monkeypatch.setattr(strategies, "entry_points", lambda group: points)
    assert strategy_names() == ["good"]


def test_name_of_two_strategies_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "shortest")
    point = EntryPoint("shortest", "tests.routing_strategies:by_pages", strategies.ENTRY_POINT_GROUP)
    monkeypatch.setattr(strategies, "entry_points", lambda group: [point])
    found = find_strategy("shortest")
    assert isinstance(found, NoChoice)
    assert "by_pages" in found.detail


def test_unknown_balance_is_refused_with_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "by_pages")
    check_balance("")
    check_balance("by_pages")
    with pytest.raises(FieldInvalidError, match="weighted, least_loaded, nearest, by_pages"):
        check_balance("fastest")
