"""Tasks that the planner returns, and the bounds of a run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from workloads.workflows.definition.graph import Node
from workloads.workflows.engine.state import Key


class TaskType(StrEnum):
    """Action of a task: run a node, collect the result of one item, or gather those of all items of an iteration."""

    RUN = "run"
    COLLECT = "collect"
    GATHER = "gather"


@dataclass(frozen=True, slots=True)
class Task:
    """A task for a node; ``index`` is the item that is collected."""

    key: Key
    node: Node
    act: TaskType = TaskType.RUN
    attempt: int = 1
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a run."""

    max_steps: int = 500
    max_seconds: float = 1_200.0
