"""The tasks that the planner returns, and the limits of a run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from workloads.workflows.definition.graph import Node
from workloads.workflows.engine.state import Key


class TaskType(StrEnum):
    """What a task does: run a node, collect the result of one item of an iteration, or gather those of all items."""

    RUN = "run"
    COLLECT = "collect"
    GATHER = "gather"


@dataclass(frozen=True, slots=True)
class Task:
    """A task for one node. ``index`` is the item whose result is collected."""

    key: Key
    node: Node
    act: TaskType = TaskType.RUN
    attempt: int = 1
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one run: its number of steps, and its working time in seconds."""

    max_steps: int = 500
    max_seconds: float = 1_200.0
