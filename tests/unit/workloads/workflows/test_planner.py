"""Planning of runs, as tables: ready nodes, and consequences of failures."""

from __future__ import annotations

import random

import pytest

from tests.unit.workloads.workflows.definitions import condition, each, node, workflow
from tests.unit.workloads.workflows.planner_runs import Walk
from workloads.workflows.engine.state import Key, NodeError, Status, WaitCause, WorkflowRunProgress
from workloads.workflows.engine.tasks import Bounds

GONE = NodeError("gone", "It is gone.")
BUSY = NodeError("busy", "It is busy.", is_transient=True)


def test_nodes_in_sequence_run_one_after_the_other() -> None:
    walk = Walk(workflow(node("a"), node("b"))).go()
    assert walk.done == ["start", "a", "b", "end"]
    assert (walk.planner.is_ended, walk.state.error, walk.state.step_count) == (True, None, 4)


def test_branches_run_concurrently_and_a_join_waits_for_all() -> None:
    walk = Walk(workflow(node("a"), node("b"), node("c"), ways=["start > a > c > end", "start > b > c"]))
    assert walk.plan() == ["start"]
    walk.planner.succeed(Key("start"), None)
    assert walk.plan() == ["a", "b"]
    walk.planner.succeed(Key("a"), None)
    assert walk.plan() == []
    walk.planner.succeed(Key("b"), None)
    assert walk.plan() == ["c"]


def test_planned_tasks_are_limited_by_the_room() -> None:
    walk = Walk(workflow(node("a"), node("b"), ways=["start > a > end", "start > b > end"]))
    walk.plan()
    walk.planner.succeed(Key("start"), None)
    assert (walk.plan(room=1), walk.plan(room=1), walk.plan()) == (["a"], ["b"], [])


CHOICE = workflow(
    condition("c", ("yes", "inputs", "exists", True)),
    node("a"),
    node("b"),
    node("after_b"),
    node("join"),
    ways=["start > c", "c yes> a", "c else> b", "b > after_b", "a > join", "after_b > join", "join > end"],
)


@pytest.mark.parametrize(
    ("case", "done", "skipped"),
    [
        ("yes", ["start", "c", "a", "join", "end"], {"b", "after_b"}),
        ("else", ["start", "c", "b", "after_b", "join", "end"], {"a"}),
    ],
)
def test_branch_that_is_not_chosen_is_skipped(case: str, done: list[str], skipped: set[str]) -> None:
    walk = Walk(CHOICE, {"c": case}).go()
    assert walk.done == done
    assert {name for name, status in walk.statuses.items() if status == Status.SKIPPED} == skipped
    assert walk.state.error is None


def test_run_without_a_reached_end_fails() -> None:
    definition = workflow(node("ok", "approval", title="?"), ways=["start > ok", "ok approved> end"])
    walk = Walk(definition, {"ok": "rejected"}).go()
    assert walk.state.error == ("no_end_reached", "No path reached an end of the workflow.")


@pytest.mark.parametrize(
    ("fields", "answers", "done", "error"),
    [
        # Permanent errors are not retried.
        ({"retry": {"max_retries": 2}}, GONE, ["start", "a"], ("gone", "a: It is gone.")),
        # Transient errors are retried as often as the node configures.
        ({"retry": {"max_retries": 2}}, [BUSY, BUSY, None], ["start", "a", "a", "a", "end"], None),
        ({"retry": {"max_retries": 1}}, [BUSY, BUSY, None], ["start", "a", "a"], ("busy", "a: It is busy.")),
        # By default a template runs once.
        ({}, [BUSY, None], ["start", "a"], ("busy", "a: It is busy.")),
        # A run may continue without the failed node.
        ({"on_error": "continue"}, GONE, ["start", "a", "end"], None),
    ],
)
def test_failed_node_is_retried_or_ends_as_configured(fields, answers, done, error) -> None:
    walk = Walk(workflow(node("a", **fields)), {"a": answers})
    for _ in range(6):
        walk.go()
        walk.now += 1_000
    assert (walk.done, walk.state.error) == (done, error)
    if fields.get("on_error"):
        assert walk.state.steps[Key("a")].outputs == [{"error": {"code": "gone", "message": "It is gone."}}]


def test_retry_delay_doubles_and_is_at_least_the_requested_one() -> None:
    definition = workflow(node("a", retry={"max_retries": 5, "delay_seconds": 10}))
    longer = NodeError("busy", "Later.", is_transient=True, retry_after_seconds=90)
    walk = Walk(definition, {"a": [BUSY, BUSY, longer, None]})
    waits = []
    for _ in range(3):
        walk.go()
        due = walk.planner.next_due()
        assert due is not None
        waits.append(due - walk.now)
        assert walk.plan() == []
        walk.now = due
    assert waits == [10, 20, 90]


def test_delay_ends_at_its_time() -> None:
    walk = Walk(workflow(node("a", "delay", seconds=60)), {"a": WaitCause.TIME}).go()
    assert (walk.done, walk.planner.next_due(), walk.planner.is_ended) == (["start", "a"], 60, False)
    walk.now = 60
    walk.begin()
    assert walk.go().done == ["start", "a", "end"]


def test_run_waits_for_its_decision() -> None:
    walk = Walk(workflow(node("ok", "approval", title="?")), {"ok": WaitCause.DECISION}).go()
    waiting = walk.planner.waiting_for(WaitCause.DECISION)
    assert (waiting, walk.planner.next_due(), walk.plan()) == ([Key("ok")], None, [])
    walk.begin()
    walk.planner.succeed(Key("ok"), [{"decision": "approved"}], case="approved")
    assert walk.go().done == ["start", "ok", "end"]


def test_items_run_in_parallel_up_to_the_limit_of_their_iteration() -> None:
    walk = Walk(workflow(each("e", [1, 2, 3], node("x"), node("y"), ways=["x > y"], parallel=2)))
    for _ in range(2):
        for task in walk.planner.plan(0):
            walk.do(task)
    assert walk.plan() == ["x@0", "x@1"]
    walk.planner.succeed(Key("x", (0,)), None)
    assert walk.plan() == ["y@0"]
    walk.planner.succeed(Key("y", (0,)), None)
    assert walk.plan() == ["collect e 0"]
    walk.planner.close_item(Key("e"), 0, [7])
    assert walk.plan() == ["x@2"]
    assert walk.state.steps[Key("e")].items == {0: [7]}
    assert "y@0" not in walk.statuses


def test_iteration_ends_after_all_items_or_at_once_if_empty() -> None:
    walk = Walk(workflow(each("e", [1, 2], node("x")))).go()
    assert walk.done == ["start", "e", "x@0", "collect e 0", "x@1", "collect e 1", "gather e", "end"]
    assert walk.state.steps[Key("e")].outputs == [[0, 1]]
    assert Walk(workflow(each("e", [], node("x")))).go().done == ["start", "e", "gather e", "end"]


def test_iterations_can_be_nested() -> None:
    inner = each("inner", [1, 2], node("x"))
    walk = Walk(workflow(each("outer", [1, 2], inner, output={"value": 1}, parallel=2))).go()
    assert {"x@0.0", "x@0.1", "x@1.0", "x@1.1"} <= set(walk.done)
    assert (walk.state.error, sorted(walk.statuses)) == (None, ["end", "outer", "start"])


@pytest.mark.parametrize(
    ("how", "error", "items"),
    [("fail", ("gone", "e: Item 1: It is gone."), {}), ("skip", None, [0, 1, 2])],
)
def test_failed_item_is_skipped_or_fails_its_iteration(how: str, error, items) -> None:
    walk = Walk(workflow(each("e", [1, 2, 3], node("x"), parallel=3, on_item_error=how)), {"x@1": GONE}).go()
    assert walk.state.error == error
    if how == "skip":
        assert walk.state.steps[Key("e")].outputs == [items]
        assert walk.state.steps[Key("e")].failed == 1


def test_result_of_abandoned_item_is_not_expected() -> None:
    walk = Walk(workflow(each("e", [1, 2], node("x"), parallel=2, on_item_error="fail", on_error="continue")))
    for _ in range(2):
        for task in walk.planner.plan(0):
            walk.do(task)
    first, second = walk.planner.plan(0)
    walk.planner.fail(first.key, GONE, 0)
    assert not walk.planner.is_expected(second)
    assert walk.state.steps[Key("e")].outputs == [{"error": {"code": "gone", "message": "Item 0: It is gone."}}]


@pytest.mark.parametrize(("most", "error"), [(4, None), (3, "step_limit")])
def test_steps_of_a_run_are_limited(most: int, error: str | None) -> None:
    walk = Walk(workflow(node("a"), node("b")), bounds=Bounds(max_steps=most)).go()
    assert (walk.state.error and walk.state.error[0]) == error


def test_working_time_of_a_run_is_limited() -> None:
    walk = Walk(workflow(node("a")), bounds=Bounds(max_seconds=10))
    walk.plan()
    walk.planner.succeed(Key("start"), None)
    walk.state.active_seconds = 11
    assert walk.plan() == []
    assert walk.state.error == ("time_limit", "The run has worked for more than 10 s.")
    assert walk.planner.is_ended


def test_changes_are_reported_once_with_increasing_versions() -> None:
    walk = Walk(workflow(node("a")))
    seen: dict[str, list[int]] = {}

    def note() -> None:
        for key, step in walk.planner.take_changes().items():
            seen.setdefault(str(key), []).append(step.version)

    while tasks := walk.planner.plan(0):
        note()
        walk.do(tasks[0])
        note()
    assert seen == {"start": [1, 2], "a": [1, 2], "end": [1, 2]}
    assert walk.planner.take_changes() == {}


LONG = workflow(
    node("a"),
    condition("c", ("yes", "inputs", "exists", True)),
    each("e", [1, 2, 3, 4], node("x"), node("y", retry={"max_retries": 2}), ways=["x > y"], parallel=3),
    node("d", "delay", seconds=5),
    node("z"),
    ways=["start > a > c", "c yes> e", "c else> z", "e > d > z > end", "start > e"],
)


@pytest.mark.parametrize("seed", range(50))
def test_interrupted_run_resumes_and_repeats_only_unsaved_steps(seed: int) -> None:
    """Each interruption resumes from the last checkpoint: stored steps are not repeated, and nothing is lost."""
    chance = random.Random(seed)
    answers = {"c": "yes", "d": WaitCause.TIME, "y@1": [BUSY, BUSY, None]}
    walk = Walk(LONG, answers)
    kept_state, kept, unkept = walk.state.write(), [], []
    for _ in range(500):
        if walk.planner.is_ended:
            break
        tasks = walk.planner.plan(walk.now, room=chance.randint(1, 4))
        if not tasks and (due := walk.planner.next_due()) is not None:
            walk.now = max(walk.now, due)
        chance.shuffle(tasks)
        for task in tasks:
            before = len(walk.done)
            walk.do(task)
            unkept += [(name, task.attempt) for name in walk.done[before:]]
        if chance.random() < 0.5:
            kept_state, kept, unkept = walk.state.write(), kept + unkept, []
        if chance.random() < 0.3:
            unkept = []
            walk.state = WorkflowRunProgress.read(kept_state)
            walk.begin()
    assert walk.planner.is_ended
    assert walk.state.error is None
    kept += unkept
    assert len(kept) == len(set(kept)), "what was kept is done once"
    names = {name for name, _ in kept}
    assert {f"{name}@{index}" for name in "xy" for index in range(4)} <= names
    assert {"a", "c", "e", "d", "z", "start", "end", "gather e"} <= names
    assert ("y@1", 3) in kept


@pytest.mark.parametrize("is_resumed", [True, False])
def test_postponed_node_waits_without_an_attempt_or_a_step(is_resumed: bool) -> None:
    later = NodeError("postponed", "Later", retry_after_seconds=5.0, is_postponed=True)
    walk = Walk(workflow(node("a", retry={"max_retries": 0})), {"a": later})
    for now in (0.0, 5.0):
        walk.now = now
        walk.go()
        step = walk.planner.state.steps[Key("a")]
        assert (step.wait, step.due_at, step.attempt, walk.state.step_count) == (WaitCause.LIMIT, now + 5, 1, 2)
        if is_resumed:
            walk.begin()
    walk.now, walk.answers = 10.0, {}
    walk.go()
    assert (walk.planner.is_ended, walk.state.error, walk.state.step_count) == (True, None, 3)
