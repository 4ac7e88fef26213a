"""The work of the planner's tasks: it is done at once if it takes negligible time, else prepared for a coroutine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from scheduling.kit.base import AsyncJobContext, PermanentError
from workloads.model_endpoints.usage import AnsweredRequest
from workloads.workflows.definition.graph import Node
from workloads.workflows.engine.conditions import holds
from workloads.workflows.engine.planner import Planner
from workloads.workflows.engine.state import Key, NodeError, WaitCause
from workloads.workflows.engine.tasks import Task, TaskType
from workloads.workflows.engine.variables import Reading
from workloads.workflows.models import Approval
from workloads.workflows.nodes import PREPARATIONS
from workloads.workflows.nodes.work import (
    NodeContext,
    NodeOutput,
    OpenedIteration,
    OpenedLoop,
    PreparedNode,
    Result,
    WaitRequest,
)
from workloads.workflows.running.concurrency import failure_of
from workloads.workflows.running.recording import Recording
from workloads.workflows.running.values import Values

# Work done at once is stored at the latest after this time.
INLINE_SECONDS: Final = 0.05


@dataclass(slots=True)
class NodeWork:
    """The work of a run between one start of its job and the next.

    ``is_idle``: after the last `advance` there is nothing to do that it has room for.
    """

    context: AsyncJobContext
    planner: Planner
    values: Values
    recording: Recording
    inputs: Mapping[str, Any]
    clock: Callable[[], float]
    approvals: list[Approval] = field(default_factory=list)
    # Requests that models have answered since the last safe point.
    usage: list[AnsweredRequest] = field(default_factory=list)
    # Nodes whose last error says that they have had no effect, since the last safe point.
    refused: set[Key] = field(default_factory=set)
    is_idle: bool = False

    def advance(self, room: int) -> list[tuple[Task, PreparedNode]]:
        """Do the work that takes negligible time, and return up to ``room`` tasks with work that takes longer."""
        begun: list[tuple[Task, PreparedNode]] = []
        tasks: list[Task] = []
        until = time.monotonic() + INLINE_SECONDS
        while time.monotonic() < until:
            left = room - len(begun)
            tasks = self.planner.plan(self.clock(), room=left) if left > 0 else []
            if not tasks:
                break
            for task in tasks:
                work = self._do(task)
                if work is not None:
                    begun.append((task, work))
        expected = [one for one in begun if self.planner.is_expected(one[0])]
        self.is_idle = not tasks and len(expected) == len(begun)
        return expected

    def _do(self, task: Task) -> PreparedNode | None:
        """Do a task at once, or return its work if it takes time."""
        if not self.planner.is_expected(task):
            return None
        try:
            if task.act is TaskType.RUN:
                return self._prepare(task)
            if task.act is TaskType.GATHER:
                self._gather(task.key)
            else:
                self._collect_item(task)
        except Exception as error:  # noqa: BLE001 - whatever a node's work raises is the node's error
            self.fail(task, failure_of(error))
        return None

    def _prepare(self, task: Task) -> PreparedNode | None:
        work = PREPARATIONS[task.node.type](self.place_of(task.key))
        self.recording.inputs[task.key] = work.inputs
        if work.now is None:
            return work
        self.apply(task, work.now())
        return None

    def _collect_item(self, task: Task) -> None:
        assert task.index is not None
        reading = self._reading((*task.key.path, task.index), task.node.id)
        config = task.node.config
        value, is_last = reading.evaluate(config["output"]), False
        if "until" in config:
            is_last = holds(config["until"], reading)
            value = {"output": value, "is_done": is_last}
        self.planner.close_item(task.key, task.index, self.values.keep(value), is_last=is_last)

    def _gather(self, key: Key) -> None:
        step, config = self.planner.state.steps[key], self.planner.graph.nodes[key.node_id].config
        if "until" in config:
            last = self.values.load(step.items[len(step.items) - 1])
            if not last["is_done"] and config.get("on_max_rounds", "fail") == "fail":
                raise PermanentError(f"It is not done after {step.count} rounds.", code="max_rounds_reached")
            outputs = {"result": last["output"], "rounds": step.count, "is_done": last["is_done"]}
            self.planner.succeed(key, self.values.keep(outputs))
            return
        results = self.values.load_all([step.items[index] for index in sorted(step.items)])
        outputs = {"results": results, "count": len(results), "failed": step.failed}
        self.planner.succeed(key, self.values.keep(outputs))

    def place_of(self, key: Key) -> NodeContext:
        """Return what the work of a node gets."""
        node = self.planner.graph.nodes[key.node_id]
        return NodeContext(key, node, self.reading_of(key, node), self.inputs, self.context, self.usage)

    def take_usage(self) -> list[AnsweredRequest]:
        """Return the requests that models have answered since the last call."""
        # Work in progress adds to this list.
        usage = [*self.usage]
        del self.usage[: len(usage)]
        return usage

    def reading_of(self, key: Key, node: Node) -> Reading:
        """Return the variables that can be read at a node."""
        return self._reading(key.path, node.parent)

    def _reading(self, path: tuple[int, ...], parent: str | None) -> Reading:
        return Reading(self.planner.graph, self.planner.state, self.values.load, path=path, parent=parent)

    def apply(self, task: Task, result: Result) -> None:
        """Apply the result of a node's work to the run's state."""
        now = self.clock()
        match result:
            case NodeOutput(outputs=outputs, case=case, tokens=tokens):
                self.recording.tokens[task.key] = tokens
                self.planner.succeed(task.key, self.values.keep(outputs), case=case, tokens=tokens)
            case OpenedIteration(items=items):
                self.planner.open_items(task.key, len(items), self.values.keep(list(items)))
            case OpenedLoop(initial=initial, max_rounds=count):
                self.planner.open_items(task.key, count, self.values.keep(initial))
            case WaitRequest(why=why, seconds=seconds):
                if why is WaitCause.DECISION:
                    self._ask(task.key, result, now + seconds)
                self.planner.wait(task.key, why, None if why is WaitCause.CHILD else now + seconds)

    def _ask(self, key: Key, waits: WaitRequest, until: float) -> None:
        self.approvals.append(
            Approval(
                tenant_id=self.context.tenant_id,
                workflow_id=self.recording.pinned.workflow_id,
                job_id=self.context.job_id,
                node=str(key),
                title=waits.title,
                text=waits.text,
                expires_at=datetime.fromtimestamp(until, UTC),
            )
        )

    def fail(self, task: Task, error: NodeError) -> None:
        """Log the error of a node's work and apply it to the run's state."""
        self.context.log(error.message, level="warning", node=str(task.key), code=error.code, attempt=task.attempt)
        if task.act is TaskType.COLLECT and task.index is not None:
            self.planner.fail_item(task.key, task.index, error.code, error.message)
        else:
            if not (error.is_transient or error.is_postponed):
                self.refused.add(task.key)
            self.planner.fail(task.key, error, self.clock())
