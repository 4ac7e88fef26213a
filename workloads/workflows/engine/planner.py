"""The planner of a run: it chooses the next tasks and applies their results. It is pure and reads no clock.

A node is ready when all its incoming edges are decided and at least one is taken; if none is taken, it is skipped. An
iteration opens a scope for each of its items, a limited number at a time, and ends when all of them have ended. The
rounds of a loop are its items.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from workloads.workflows.definition.graph import Edge, Graph, Node
from workloads.workflows.engine.state import (
    Indexes,
    Key,
    NodeError,
    NodeProgress,
    Status,
    WaitCause,
    WorkflowRunProgress,
    inline,
)
from workloads.workflows.engine.tasks import Bounds, Task, TaskType

MAX_RETRY_SECONDS: Final = 86_400.0
RETRY_FACTOR: Final = 2.0
MAX_MESSAGE_CHARACTERS: Final = 1_000


class Planner:
    """The planner of one run of a graph. It changes ``state``; ``take_changes`` returns what has changed."""

    def __init__(self, graph: Graph, state: WorkflowRunProgress, bounds: Bounds) -> None:
        self.graph = graph
        self.state = state
        self.bounds = bounds
        self._changes: dict[Key, NodeProgress] = {}
        self._returned: set[tuple[Key, TaskType, int | None]] = set()
        # Steps that were begun and not committed, or that a limit postponed, begin again.
        self._begun_before = {key for key, step in state.steps.items() if step.begins_again}

    @property
    def is_ended(self) -> bool:
        """Return whether the run has ended, with or without an error."""
        if self.state.error is not None:
            return True
        steps = [self.state.steps.get(Key(node.id)) for node in self.graph.scopes[None]]
        return all(step is not None and step.status.is_ended for step in steps)

    def plan(self, now: float, *, room: int = 1_000_000) -> list[Task]:
        """Return up to ``room`` tasks that can start now, each only once, and process the nodes that need no work."""
        tasks: list[Task] = []
        if self.state.error is None and self.state.active_seconds > self.bounds.max_seconds:
            self._end("time_limit", f"The run has worked for more than {self.bounds.max_seconds:g} s.")
        for task in self._ready((), None, now):
            if len(tasks) >= room or self.state.error is not None:
                break
            if (task.key, task.act, task.index) in self._returned:
                continue
            if task.act is TaskType.RUN and not self._begin(task):
                break
            self._returned.add((task.key, task.act, task.index))
            tasks.append(task)
        self._conclude()
        return [] if self.state.error is not None else tasks

    def next_due(self, *, with_decisions: bool = True) -> float | None:
        """Return the earliest time at which a waiting node is due; None if no node waits for a time."""
        counted = [one for one in self.state.steps.values() if with_decisions or one.wait is not WaitCause.DECISION]
        return min((step.due_at for step in counted if step.due_at is not None), default=None)

    def waiting_for(self, cause: WaitCause) -> list[Key]:
        """Return the nodes that wait for a cause."""
        return [key for key, step in self.state.steps.items() if step.wait is cause]

    def is_expected(self, task: Task) -> bool:
        """Return whether a task's result is still wanted; it is not if the run or the enclosing item has ended."""
        step = self.state.steps.get(task.key)
        return self.state.error is None and step is not None and not step.status.is_ended

    def succeed(self, key: Key, outputs: Any, *, case: str | None = None, tokens: int = 0) -> None:
        """Record that a node has succeeded: its outputs, the case it chose, if any, and the tokens it used."""
        self.state.tokens += tokens
        self._end_step(key, Status.DONE, outputs=outputs, case=case)

    def fail(self, key: Key, error: NodeError, now: float) -> None:
        """Record a failed attempt of a node: schedule a retry, continue with the error as output, or fail the node."""
        step, node = self.state.steps[key], self.graph.nodes[key.node_id]
        message = error.message[:MAX_MESSAGE_CHARACTERS]
        self._forget(key)
        if error.is_postponed:
            self.wait(key, WaitCause.LIMIT, now + (error.retry_after_seconds or 0))
            return
        if error.is_transient and step.attempt <= node.max_retries:
            pause = node.retry_seconds * RETRY_FACTOR ** (step.attempt - 1)
            pause = min(MAX_RETRY_SECONDS, max(pause, error.retry_after_seconds or 0))
            step.wait, step.due_at = WaitCause.RETRY, now + pause
            step.error = (error.code, message)
            step.attempt += 1
            self._set(key, Status.WAITING)
            return
        if node.goes_on_after_error:
            outputs = inline({"error": {"code": error.code, "message": message}})
            self._end_step(key, Status.DONE, outputs=outputs, error=(error.code, message))
            return
        self._end_step(key, Status.FAILED, error=(error.code, message))
        self._fail_around(key, error.code, message)

    def wait(self, key: Key, why: WaitCause, due_at: float | None) -> None:
        """Let a node wait until ``due_at``, for a person's decision, or both. After a limit it begins again."""
        step = self.state.steps[key]
        step.wait, step.due_at = why, due_at
        if why is WaitCause.LIMIT:
            self._begun_before.add(key)
        self._forget(key)
        self._set(key, Status.WAITING)

    def open_items(self, key: Key, count: int, items: Any) -> None:
        """Open an iteration or a loop with up to ``count`` items; ``items`` are the values that its nodes read."""
        step = self.state.steps[key]
        step.count, step.outputs = count, items
        self._forget(key)
        self._set(key, Status.RUNNING)

    def close_item(self, key: Key, index: int, value: Any, *, is_last: bool = False) -> None:
        """Store the result of one item, and drop the states of its nodes; after ``is_last`` none is opened."""
        step = self.state.steps[key]
        step.items[index] = value
        if is_last:
            step.count = index + 1
        self._drop_item(key, index)

    def give_up(self, code: str, message: str) -> None:
        """Fail the whole run."""
        self._end(code, message)

    def take_changes(self) -> dict[Key, NodeProgress]:
        """Return copies of the node states that have changed since the last call."""
        changes, self._changes = self._changes, {}
        return changes

    def note_all(self) -> None:
        """Let `take_changes` return all nodes: those that a run has taken over from an ended one."""
        self._changes = {key: copy.copy(step) for key, step in self.state.steps.items()}

    def _ready(self, path: Indexes, parent: str | None, now: float) -> Iterator[Task]:
        """Yield the tasks of a scope and of the open scopes below it."""
        for node in self.graph.scopes.get(parent, ()):
            key = Key(node.id, path)
            step = self.state.steps.get(key)
            if step is None:
                way = self._way_into(node, path)
                if way is True:
                    yield Task(key, node)
                elif way is False:
                    self.state.steps[key] = NodeProgress(Status.SKIPPED, version=0)
                    self._set(key, Status.SKIPPED)
            elif step.status is Status.WAITING and step.due_at is not None and step.due_at <= now:
                yield from self._due(key, node, step)
            elif step.status is Status.RUNNING and step.count is not None:
                yield from self._of_items(key, node, step, now)
            elif step.status is Status.RUNNING:
                yield Task(key, node, attempt=step.attempt)

    def _due(self, key: Key, node: Node, step: NodeProgress) -> Iterator[Task]:
        if step.wait is WaitCause.TIME:
            self._end_step(key, Status.DONE, outputs=inline({}))
        elif step.wait in (WaitCause.RETRY, WaitCause.LIMIT):
            yield Task(key, node, attempt=step.attempt)

    def _of_items(self, key: Key, node: Node, step: NodeProgress, now: float) -> Iterator[Task]:
        assert step.count is not None
        if len(step.items) == step.count:
            yield Task(key, node, TaskType.GATHER)
            return
        open_items = 0
        for index in range(step.count):
            if index in step.items:
                continue
            if open_items >= node.config.get("parallel", 1):
                return
            open_items += 1
            path = (*key.path, index)
            yield from self._ready(path, node.id, now)
            if self.state.error is not None or step.status is not Status.RUNNING:
                return
            inner = [self.state.steps.get(Key(one.id, path)) for one in self.graph.scopes[node.id]]
            if index not in step.items and all(one is not None and one.status.is_ended for one in inner):
                yield Task(key, node, TaskType.COLLECT, index=index)

    def _way_into(self, node: Node, path: Indexes) -> bool | None:
        """Return whether an edge into the node is taken; None while that is undecided."""
        edges = self.graph.incoming[node.id]
        if not edges:
            return True
        ways = [self._is_taken(edge, path) for edge in edges]
        return None if None in ways else any(ways)

    def _is_taken(self, edge: Edge, path: Indexes) -> bool | None:
        step = self.state.steps.get(Key(edge.source, path))
        if step is None or not step.status.is_ended:
            return None
        return step.status is Status.DONE and edge.case in (None, step.case)

    def _begin(self, task: Task) -> bool:
        """Start a node; return False if the run may take no further step."""
        step = self.state.steps.get(task.key)
        is_again = task.key in self._begun_before
        self._begun_before.discard(task.key)
        if not is_again:
            self.state.step_count += 1
            if self.state.step_count > self.bounds.max_steps:
                self._end("step_limit", f"The run takes more than {self.bounds.max_steps:,} steps.")
                return False
        if step is None:
            self.state.steps[task.key] = NodeProgress(Status.RUNNING, version=0)
        else:
            step.wait = step.due_at = step.error = None
        self._set(task.key, Status.RUNNING)
        return True

    def _fail_around(self, key: Key, code: str, message: str) -> None:
        """Fail the item that contains a failed node, and what encloses it."""
        node = self.graph.nodes[key.node_id]
        if node.parent is None:
            self._end(code, f"{node.title or node.id}: {message}")
            return
        self.fail_item(Key(node.parent, key.path[:-1]), key.path[-1], code, message)

    def fail_item(self, around: Key, index: int, code: str, message: str) -> None:
        """Fail one item of an iteration: it is skipped, or the iteration fails with it, as its config says."""
        iteration, step = self.graph.nodes[around.node_id], self.state.steps[around]
        if iteration.config.get("on_item_error") == "skip":
            step.failed += 1
            step.items[index] = None
            self._drop_item(around, index)
            return
        for other in range(step.count or 0):
            self._drop_item(around, other)
        self.fail(around, NodeError(code, f"{iteration.kind.item} {index}: {message}"), now=0.0)

    def _drop_item(self, key: Key, index: int) -> None:
        """Drop the steps of an item; results of its running steps are ignored."""
        path = (*key.path, index)
        inside = self._nodes_below(key.node_id)
        for inner in [one for one in self.state.steps if one.node_id in inside and one.path[: len(path)] == path]:
            step = self.state.steps[inner]
            if not step.status.is_ended:
                self._set(inner, Status.SKIPPED)
            self._forget(inner)
            del self.state.steps[inner]

    def _nodes_below(self, parent: str) -> set[str]:
        direct = {node.id for node in self.graph.scopes.get(parent, ())}
        return direct.union(*(self._nodes_below(node_id) for node_id in direct))

    def _end_step(
        self,
        key: Key,
        status: Status,
        *,
        outputs: Any = None,
        case: str | None = None,
        error: tuple[str, str] | None = None,
    ) -> None:
        step = self.state.steps[key]
        step.case, step.error, step.wait, step.due_at = case, error, None, None
        if status is not Status.FAILED or step.count is None:
            # A failed iteration keeps its items, for a run that continues it.
            step.outputs, step.count, step.items = outputs, None, {}
        self._forget(key)
        self._set(key, status)

    def _set(self, key: Key, status: Status) -> None:
        step = self.state.steps[key]
        step.status = status
        step.version += 1
        self._changes[key] = copy.copy(step)

    def _forget(self, key: Key) -> None:
        self._returned = {one for one in self._returned if one[0] != key}

    def _conclude(self) -> None:
        """Fail a run whose nodes have all ended without reaching an end node."""
        if self.state.error is not None or not self.is_ended:
            return
        ends = [node for node in self.graph.scopes[None] if node.type == "end"]
        if all(self.state.steps[Key(node.id)].status is Status.SKIPPED for node in ends):
            self._end("no_end_reached", "No path reached an end of the workflow.")

    def _end(self, code: str, message: str) -> None:
        if self.state.error is None:
            self.state.error = (code, message[:MAX_MESSAGE_CHARACTERS])
            for key, step in self.state.steps.items():
                if not step.status.is_ended:
                    step.wait = step.due_at = None
                    self._set(key, Status.SKIPPED)
