"""What the planner asks for, and within what bounds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from workloads.workflows.definition.graph import Node
from workloads.workflows.engine.state import Key


class Act(StrEnum):
    """What a task asks for: a node's own work, what one item has made, or what all items of an iteration have."""

    RUN = "run"
    COLLECT = "collect"
    GATHER = "gather"


@dataclass(frozen=True, slots=True)
class Task:
    """Something to be done for a node; ``index`` is the item that is collected."""

    key: Key
    node: Node
    act: Act = Act.RUN
    attempt: int = 1
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a run may take."""

    max_steps: int = 500
    max_seconds: float = 1_200.0
