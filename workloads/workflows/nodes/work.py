"""What a node is given, and what it answers with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from scheduling.kit.base import Dependency
from workloads.workflows.definition.graph import Node
from workloads.workflows.engine.state import Key, Wait
from workloads.workflows.engine.variables import Reading


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What holds for a whole run. ``idempotency_key`` is the same at each start of its job."""

    tenant_id: UUID
    run_id: UUID
    idempotency_key: str
    inputs: Mapping[str, Any]
    settings: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """One node of a run that is about to work, and what it may read there."""

    key: Key
    node: Node
    reading: Reading
    run: RunFacts

    @property
    def config(self) -> Mapping[str, Any]:
        """What the definition says of the node."""
        return self.node.config

    @property
    def idempotency_key(self) -> str:
        """The same whenever this node of this run is tried again."""
        return f"{self.run.idempotency_key}:{self.key}"


@dataclass(frozen=True, slots=True)
class Made:
    """The node is done. ``case`` names the way out that it has chosen."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    case: str | None = None
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """The node runs a graph for each of these items."""

    items: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Waits:
    """The node goes on after some time, or when a person has answered what it asks by then."""

    why: Wait
    seconds: float
    title: str = ""
    text: str = ""


type Result = Made | Opened | Waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A node's work: one of ``now``, ``later`` on the event loop, and ``aside`` in a thread.

    What is done ``now`` takes no time that counts. ``inputs`` are what the node works with, for the run's page.
    ``dependency`` is what it needs outside, and ``usual_seconds`` how long that may take unless a node says less.
    """

    inputs: Mapping[str, Any] = field(default_factory=dict)
    now: Callable[[], Result] | None = None
    later: Callable[[], Awaitable[Result]] | None = None
    aside: Callable[[], Result] | None = None
    dependency: Dependency | None = None
    usual_seconds: float | None = None
