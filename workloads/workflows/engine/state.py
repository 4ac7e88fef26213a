"""The state of a run in a compact form, which is the checkpoint of the run's job.

An output is stored as a list of one value or, if it is large, as the number of the `RunValue` that it was moved to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

FORMAT: Final = 1
# The version of a run's record before its first start.
FIRST_RECORD: Final = 1
type Indexes = tuple[int, ...]
# A list of one value, or the number of an offloaded one; None if there is none.
type Stored = list[Any] | int | None


def inline(value: Any) -> Stored:
    """Return a value in the form in which the state itself stores it."""
    return [value]


class Status(StrEnum):
    """The status of a node in a run. A node that has not begun has no entry in the state."""

    RUNNING = "r"
    WAITING = "w"
    DONE = "d"
    FAILED = "f"
    SKIPPED = "s"

    @property
    def is_ended(self) -> bool:
        """Return whether the node has ended, so that its status does not change any more."""
        return self in (Status.DONE, Status.FAILED, Status.SKIPPED)


class WaitCause(StrEnum):
    """What a waiting node waits for."""

    RETRY = "retry"
    TIME = "time"
    DECISION = "decision"
    CHILD = "child"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a node in a run: its id and, inside iterations, the indexes of the items, outermost first."""

    node_id: str
    path: Indexes = ()

    def __str__(self) -> str:
        return f"{self.node_id}@{'.'.join(map(str, self.path))}" if self.path else self.node_id

    @classmethod
    def read(cls, text: str) -> Key:
        """Return the key that its text in the state describes."""
        node_id, _, path = text.partition("@")
        return cls(node_id, tuple(int(index) for index in path.split(".")) if path else ())


@dataclass(frozen=True, slots=True)
class NodeError:
    """The error of a node. If ``is_transient``, a retry may succeed; if ``is_postponed``, it has not begun yet."""

    code: str
    message: str
    is_transient: bool = False
    retry_after_seconds: float | None = None
    is_postponed: bool = False


@dataclass(slots=True)
class NodeProgress:
    """The state of one node in a run. ``version`` rises with every change.

    For an iteration, ``items`` maps the index of each ended item to its result; it is None for a failed item that is
    skipped.
    """

    status: Status
    version: int = 1
    attempt: int = 1
    case: str | None = None
    outputs: Stored = None
    error: tuple[str, str] | None = None
    wait: WaitCause | None = None
    due_at: float | None = None
    count: int | None = None
    items: dict[int, Stored] = field(default_factory=dict)
    failed: int = 0

    @property
    def begins_again(self) -> bool:
        """Return whether the node was begun before and has to begin again, which is no further step."""
        return self.wait is WaitCause.LIMIT or (self.status is Status.RUNNING and self.count is None)

    def write(self) -> dict[str, Any]:
        """Return the node's state as JSON values; fields with their default value are omitted."""
        content: dict[str, Any] = {"s": self.status.value, "v": self.version}
        if self.attempt != 1:
            content["a"] = self.attempt
        error = list(self.error) if self.error is not None else None
        said = {"c": self.case, "o": self.outputs, "e": error, "d": self.due_at}
        content |= {name: value for name, value in said.items() if value is not None}
        if self.wait is not None:
            content["w"] = self.wait.value
        if self.count is not None:
            content["n"] = self.count
            content["i"] = {str(index): value for index, value in self.items.items()}
            content["x"] = self.failed
        return content

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> NodeProgress:
        """Return the node's state from the JSON values that `write` returned."""
        error = content.get("e")
        return cls(
            status=Status(content["s"]),
            version=content["v"],
            attempt=content.get("a", 1),
            case=content.get("c"),
            outputs=content.get("o"),
            error=(error[0], error[1]) if error else None,
            wait=WaitCause(content["w"]) if "w" in content else None,
            due_at=content.get("d"),
            count=content.get("n"),
            items={int(index): value for index, value in content.get("i", {}).items()},
            failed=content.get("x", 0),
        )


@dataclass(slots=True)
class WorkflowRunProgress:
    """The state of a whole run.

    ``version`` is the version of the run's record; ``values`` counts the `RunValue` rows. ``cost`` is that of the
    models that the run has called, in the platform's currency; None if no price is known.
    """

    workflow_version: int
    inputs: Stored = None
    steps: dict[Key, NodeProgress] = field(default_factory=dict)
    version: int = FIRST_RECORD
    step_count: int = 0
    tokens: int = 0
    cost: Decimal | None = None
    active_seconds: float = 0.0
    started_at: float = 0.0
    values: int = 0
    error: tuple[str, str] | None = None
    # Only in the state with which a run began to wait: the nodes of its child jobs, in the order of their submission.
    children: list[Key] = field(default_factory=list)

    def write(self) -> dict[str, Any]:
        """Return the state as JSON values, which are the job's checkpoint."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "workflow_version": self.workflow_version,
            "inputs": self.inputs,
            "steps": {str(key): step.write() for key, step in self.steps.items()},
            "version": self.version,
            "step_count": self.step_count,
            "tokens": self.tokens,
            "active_seconds": round(self.active_seconds, 3),
            "started_at": self.started_at,
            "values": self.values,
        }
        if self.cost is not None:
            content["cost"] = str(self.cost)
        if self.error is not None:
            content["error"] = list(self.error)
        return content

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> WorkflowRunProgress:
        """Return the state of a run from its last checkpoint."""
        error = content.get("error")
        return cls(
            workflow_version=content["workflow_version"],
            inputs=content["inputs"],
            steps={Key.read(key): NodeProgress.read(step) for key, step in content["steps"].items()},
            version=content["version"],
            step_count=content["step_count"],
            tokens=content["tokens"],
            cost=Decimal(content["cost"]) if "cost" in content else None,
            active_seconds=content["active_seconds"],
            started_at=content["started_at"],
            values=content["values"],
            error=(error[0], error[1]) if error else None,
            children=[Key.read(text) for text in content.get("children", ())],
        )
