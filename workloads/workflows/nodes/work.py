"""What a node's work gets and returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scheduling.kit.base import AsyncJobContext, Dependency
from scheduling.kit.http import Limits
from workloads.model_endpoints.endpoints import MODEL_LIMITS, ModelConfiguration
from workloads.model_endpoints.limits import admit
from workloads.model_endpoints.usage import AnsweredRequest
from workloads.workflows.definition.graph import Node
from workloads.workflows.engine.state import Key, WaitCause
from workloads.workflows.engine.variables import Reading


@dataclass(frozen=True, slots=True)
class NodeContext:
    """A node that is about to run, the variables that it can read, the run's inputs, and the context of its job.

    Its work adds the requests that models have answered to ``usage``, which the next safe point stores.
    """

    key: Key
    node: Node
    reading: Reading
    inputs: Mapping[str, Any]
    job: AsyncJobContext
    usage: list[AnsweredRequest] = field(default_factory=list)

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the node's config."""
        return self.node.config

    @property
    def idempotency_key(self) -> str:
        """Return a key that stays the same for all attempts of this node in this run."""
        return f"{self.job.idempotency_key}:{self.key}"

    def admit(self, model: ModelConfiguration, tokens: int) -> None:
        """Take a request from the limits of a model; raise `PostponedError` if one lets the node wait."""
        if seconds := admit(self.job.tenant_id, model, tokens):
            raise PostponedError(f"The limits of the model {model.model!r} are used for this minute.", seconds)

    def limits_of(self, model: ModelConfiguration) -> Limits:
        """Return the time limits of a request to a model: those of its endpoint, or the node's if that is shorter."""
        seconds = self.node.timeout_seconds
        own = model.limits or replace(MODEL_LIMITS, read_seconds=seconds, total_seconds=seconds)
        return replace(own, read_seconds=min(own.read_seconds, seconds), total_seconds=min(own.total_seconds, seconds))


class PostponedError(Exception):
    """Raised for a node that may begin in so many seconds only: it waits without using an attempt."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class NodeOutput:
    """The result of a node that has succeeded. ``case`` names the branch that it chose."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    case: str | None = None
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class OpenedIteration:
    """The result of an iteration node: the items for each of which its graph is run."""

    items: Sequence[Any]


@dataclass(frozen=True, slots=True)
class OpenedLoop:
    """The result of a loop node: what the first round reads as ``previous``, and the most rounds."""

    initial: Any
    max_rounds: int


@dataclass(frozen=True, slots=True)
class WaitRequest:
    """The result of a node that waits ``seconds``, at most that long for a person's decision, or for its child job."""

    why: WaitCause
    seconds: float = 0.0
    title: str = ""
    text: str = ""


type Result = NodeOutput | OpenedIteration | OpenedLoop | WaitRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedNode:
    """The work of a node, given by one of two functions: ``now`` or ``later``.

    ``now`` is called at once and must take negligible time; ``later`` runs on the event loop, beside other nodes.
    ``inputs`` are shown on the run's page. ``dependency`` is the external service that the work needs, and
    ``usual_seconds`` is its timeout unless the node sets a lower one. ``fallback`` prepares the same work at another
    service; it is done if the first fails by an error that may pass, refuses every request, or is known to be down.
    """

    inputs: Mapping[str, Any] = field(default_factory=dict)
    now: Callable[[], Result] | None = None
    later: Callable[[], Awaitable[Result]] | None = None
    dependency: Dependency | None = None
    usual_seconds: float | None = None
    fallback: Callable[[], PreparedNode] | None = None
