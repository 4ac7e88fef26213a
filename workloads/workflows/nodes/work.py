"""Input and output of a node's work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from scheduling.kit.base import Dependency
from workloads.workflows.definition.graph import Node
from workloads.workflows.engine.state import Key, WaitCause
from workloads.workflows.engine.variables import Reading


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Facts of a whole run. ``idempotency_key`` is the same at each start of its job."""

    tenant_id: UUID
    run_id: UUID
    idempotency_key: str
    inputs: Mapping[str, Any]
    settings: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NodeContext:
    """A node that is about to work, and its variables."""

    key: Key
    node: Node
    reading: Reading
    run: RunFacts

    @property
    def config(self) -> Mapping[str, Any]:
        """The node's config."""
        return self.node.config

    @property
    def idempotency_key(self) -> str:
        """Key that is the same at each attempt of this node of this run."""
        return f"{self.run.idempotency_key}:{self.key}"


@dataclass(frozen=True, slots=True)
class NodeOutput:
    """Result of a node that is done. ``case`` names the chosen branch."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    case: str | None = None
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class OpenedIteration:
    """Result of a node that runs a graph for each of these items."""

    items: Sequence[Any]


@dataclass(frozen=True, slots=True)
class WaitRequest:
    """Result of a node that waits for a time, or for a person's decision until then."""

    why: WaitCause
    seconds: float
    title: str = ""
    text: str = ""


type Result = NodeOutput | OpenedIteration | WaitRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedNode:
    """A node's work: one of ``now``, ``later`` on the event loop, and ``aside`` in a thread.

    Work ``now`` takes negligible time. ``inputs`` are shown on the run's page. ``dependency`` is the external service,
    and ``usual_seconds`` its time limit unless the node sets a lower one.
    """

    inputs: Mapping[str, Any] = field(default_factory=dict)
    now: Callable[[], Result] | None = None
    later: Callable[[], Awaitable[Result]] | None = None
    aside: Callable[[], Result] | None = None
    dependency: Dependency | None = None
    usual_seconds: float | None = None
