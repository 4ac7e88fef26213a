"""Run of the planner with plain values: every task is answered from a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workloads.workflows.definition.graph import Graph
from workloads.workflows.definition.validation import faults_in
from workloads.workflows.engine.planner import Planner
from workloads.workflows.engine.state import NodeError, WaitCause, WorkflowRunProgress, inline
from workloads.workflows.engine.tasks import Bounds, Task, TaskType

# Answer of a node: outputs, a NodeError, or a wait until a time; by its key, else by its id.
type Answers = Mapping[str, Any]


@dataclass
class Walk:
    """Run in progress; ``done`` lists the completed tasks in order."""

    definition: Any
    answers: Answers = field(default_factory=dict)
    bounds: Bounds = field(default_factory=Bounds)
    now: float = 0.0
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert faults_in(self.definition) == []
        self.graph = Graph.read(self.definition)
        self.state = WorkflowRunProgress(workflow_version=1, inputs=inline({}))
        self.begin()

    def begin(self) -> None:
        """Begin, or resume from the last checkpoint."""
        self.state = WorkflowRunProgress.read(self.state.write())
        self.planner = Planner(self.graph, self.state, self.bounds)

    def plan(self, room: int = 100) -> list[str]:
        """Return the ready tasks by name."""
        return [name_of(task) for task in self.planner.plan(self.now, room=room)]

    def go(self, *, most: int = 1_000, after: Callable[[], object] = lambda: None) -> Walk:
        """Run ready tasks until there are none."""
        for _ in range(most):
            tasks = self.planner.plan(self.now)
            if not tasks:
                return self
            for task in tasks:
                self.do(task)
            after()
        raise AssertionError("It does not end.")

    def do(self, task: Task) -> None:
        """Answer one task."""
        self.done.append(name_of(task))
        if not self.planner.is_expected(task):
            return
        if task.act is TaskType.COLLECT:
            assert task.index is not None
            self.planner.close_item(task.key, task.index, inline(task.index))
        elif task.act is TaskType.GATHER:
            self.planner.succeed(task.key, inline(sorted(self.state.steps[task.key].items)))
        else:
            self._run(task)

    def _run(self, task: Task) -> None:
        answer = self.answers.get(str(task.key), self.answers.get(task.key.node_id))
        if isinstance(answer, list):
            answer = answer[min(task.attempt, len(answer)) - 1]
        if isinstance(answer, NodeError):
            self.planner.fail(task.key, answer, self.now)
        elif isinstance(answer, WaitCause):
            due = self.now + task.node.config["seconds"] if answer is WaitCause.TIME else None
            self.planner.wait(task.key, answer, due)
        elif task.node.type == "iteration":
            items = task.node.config["items"]["value"]
            self.planner.open_items(task.key, len(items), inline(items))
        else:
            self.planner.succeed(task.key, inline({}), case=answer)

    @property
    def statuses(self) -> dict[str, str]:
        """Return the states of the nodes by name."""
        return {str(key): step.status.value for key, step in self.state.steps.items()}


def name_of(task: Task) -> str:
    """Return the key of a node, with the kind of act unless it is the node's own work."""
    if task.act is TaskType.RUN:
        return str(task.key)
    return f"{task.act.value} {task.key}" + (f" {task.index}" if task.index is not None else "")
