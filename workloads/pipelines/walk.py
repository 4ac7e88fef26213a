"""The way of one entity through the graph of its pipeline: the engine of workflows plans it, without a database.

A thread does one node after another until something has to be stored: a content, passages, a batch of vectors, or the
answer of a model or a host. The processor's own thread stores that, and the next part of the way begins.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from scheduling.kit.base import Interrupted, PermanentError, TransientError
from workloads.documents.embedding import Embedder
from workloads.documents.one_item.item import IndexingItem
from workloads.documents.one_item.steps import EmbeddedBatch, StepContext
from workloads.model_endpoints.usage import AnsweredRequest
from workloads.pipelines.entity_steps import DOERS
from workloads.pipelines.indexing_settings import settings_in
from workloads.pipelines.node_calls import EntityJob, answer
from workloads.pipelines.node_types import STEPS
from workloads.pipelines.thread_pool import StoppedError
from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.planner import Planner
from workloads.workflows.engine.state import Key, NodeError, NodeProgress, Status, WorkflowRunProgress, inline
from workloads.workflows.engine.tasks import Bounds, Task
from workloads.workflows.engine.variables import Reading
from workloads.workflows.nodes.work import PostponedError
from workloads.workflows.running.concurrency import failure_of

# Attempts of one entity by one job, the first included.
MAX_ATTEMPTS: Final = 4
MAX_OUTPUT_BYTES: Final = 256 * 1024
# Nodes whose answers are stored before the next node begins, so that they are not asked again.
CALLS: Final = frozenset({"llm", "http_request"})
# Others are done first: the text is dropped when it is split.
_LATE: Final = frozenset(STEPS[STEPS.index("split") :])


@dataclass(slots=True)
class Walk:
    """One part of an entity's way. ``stored`` and ``outputs`` are the states and outputs of its nodes as stored.

    ``result`` says what is to be stored after it: `content`, `passages`, `opened`, `batch`, `loaded`, or `answer`.
    """

    graph: Graph
    read_nodes: frozenset[str]
    item: IndexingItem
    source: Mapping[str, Any]
    entity_id: UUID
    attempt: int
    stored: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Any]
    context: StepContext
    embedder: Embedder
    known: Mapping[UUID, Any] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    usage: list[AnsweredRequest] = field(default_factory=list)
    node_id: str = ""
    result: str = ""
    postponed_seconds: float | None = None
    batch: EmbeddedBatch | None = None
    planner: Planner = field(init=False)

    def __post_init__(self) -> None:
        state = WorkflowRunProgress(0, steps={Key(name): self._step(name) for name in self._kept()})
        self.planner = Planner(self.graph, state, Bounds())

    def _step(self, name: str) -> NodeProgress:
        return NodeProgress.read({"v": 1, **self.stored[name], "o": self.outputs.get(name), "e": None})

    def _kept(self) -> list[str]:
        """Return the nodes that have ended and need not be done again: what a step left in memory may be lost."""
        item, lost = self.item, set[str]()
        if not item.state.content_key:
            if self.source["type"] == "url":
                # The page may have changed since.
                return []
            lost.add("datasource")
        if item.source is None and self._status_of("load") is not Status.DONE:
            lost.add("embed")
        if not item.state.passages_key and not item.blocks:
            lost |= {"extract", "clean", "split"}
        # A node that has not ended begins again, after those before it.
        ended = [name for name, row in self.stored.items() if Status(row["s"]).is_ended]
        return [name for name in ended if self.graph.nodes[name].type not in lost]

    def _status_of(self, step: str) -> str:
        return next((row["s"] for name, row in self.stored.items() if self.graph.nodes[name].type == step), "")

    @property
    def node_type(self) -> str:
        """Return the type of the node that was done last, or has failed."""
        return self.graph.nodes[self.node_id].type if self.node_id else ""

    def run(self) -> Walk:
        """Do nodes until a result has to be stored; raise what a node raises."""
        while not self.result and (task := self._next()) is not None:
            self.node_id, began = task.node.id, time.perf_counter()
            try:
                self._do(task)
            finally:
                self.add_seconds(task, time.perf_counter() - began)
        return self

    def add_seconds(self, task: Task, seconds: float) -> None:
        """Add to the time that a node has taken."""
        self.seconds[task.node.id] = self.seconds.get(task.node.id, 0.0) + seconds

    def next_stored(self) -> Task | None:
        """Return the next node that takes no more than storing: vectors that all exist, and loading."""
        self.tasks += self.planner.plan(0.0)
        is_whole = self.item.source is not None and self.item.is_whole
        return next((task for task in self.tasks if is_whole and task.node.type in ("embed", "load")), None)

    def end(self, task: Task, outputs: Mapping[str, Any], *, case: str | None = None) -> None:
        """Record that a node has succeeded. Only outputs that another node reads are kept."""
        self.tasks.remove(task)
        is_kept = task.node.id in self.read_nodes and task.node.type != "clean"
        self.planner.succeed(task.key, inline(dict(outputs)) if is_kept else None, case=case)
        if len(json.dumps(self.outputs_to_store())) > MAX_OUTPUT_BYTES:
            message = f"The outputs of its nodes have more than {MAX_OUTPUT_BYTES:,} bytes."
            raise PermanentError(message, code="value_too_large")

    def is_due(self, name: str) -> bool:
        """Return whether a node of this type can begin."""
        self.tasks += self.planner.plan(0.0)
        return any(task.node.type == name for task in self.tasks)

    @property
    def has_other_text(self) -> bool:
        """Return whether the passages are of another text than the content's."""
        ended = [key.node_id for key, step in self.planner.state.steps.items() if step.status is Status.DONE]
        return any(self.graph.nodes[name].type == "split" and "text" in self.graph.nodes[name].config for name in ended)

    def stored_with_error(self, code: str) -> dict[str, Any]:
        """Return the states of the nodes as they were stored before, with the error of the last one."""
        last = self.stored.get(self.node_id, {"s": Status.RUNNING.value, "t": 0.0})
        return {**self.stored, self.node_id: {**last, "e": code}} if self.node_id else dict(self.stored)

    def reading(self) -> Reading:
        """Return the variables that its nodes can read."""
        return Reading(self.graph, self.planner.state, self._load, path=(), parent=None)

    def nodes_to_store(self, error_code: str = "") -> dict[str, dict[str, Any]]:
        """Return the states of the nodes with their seconds; the error is that of the last one."""
        rows: dict[str, dict[str, Any]] = {}
        for key, step in self.planner.state.steps.items():
            name = key.node_id
            seconds = self.stored.get(name, {}).get("t", 0.0) + self.seconds.get(name, 0.0)
            rows[name] = {"s": step.status.value, "t": round(seconds, 4)}
            if step.case is not None:
                rows[name]["c"] = step.case
        if error_code and self.node_id:
            rows[self.node_id] = {**rows[self.node_id], "e": error_code}
        return rows

    def outputs_to_store(self) -> dict[str, Any]:
        """Return the outputs of the nodes that others read."""
        steps_done = self.planner.state.steps.items()
        return {key.node_id: step.outputs for key, step in steps_done if step.outputs is not None}

    def _next(self) -> Task | None:
        self.tasks += self.planner.plan(0.0)
        return min(self.tasks, key=lambda task: task.node.type in _LATE, default=None)

    def _load(self, stored: Any) -> Any:
        return stored[0] if stored is not None else {"text": "\n\n".join(block.text for block in self.item.blocks)}

    def _do(self, task: Task) -> None:
        self.context.check_running()
        if task.node.type in DOERS:
            self.item = replace(self.item, settings=settings_in(self.graph, self.nodes_to_store()))
            DOERS[task.node.type](self, task)
            return
        job = EntityJob(self.item.tenant_id, str(self.entity_id))
        try:
            output = answer(task, self.reading(), job, context=self.context, usage=self.usage)
        except (Interrupted, StoppedError):
            raise
        except PostponedError as postponed:
            # The nodes before it are kept, and no attempt is counted.
            self.postponed_seconds, self.result = postponed.seconds, "answer"
            return
        except Exception as error:  # noqa: BLE001 - whatever a node's work raises is the node's error
            self._fail(task, failure_of(error), error)
            return
        self.end(task, output.outputs, case=output.case)
        if task.node.type in CALLS:
            self.result = "answer"

    def _fail(self, task: Task, failure: NodeError, error: Exception) -> None:
        """Let the entity continue after an error if the node says so and the error will not pass; else raise it."""
        is_last = not failure.is_transient or self.attempt >= MAX_ATTEMPTS
        if task.node.goes_on_after_error and is_last:
            self.planner.fail(task.key, replace(failure, is_transient=False), 0.0)
            self.tasks.remove(task)
            self.result = "answer"
        elif failure.is_transient:
            seconds = failure.retry_after_seconds
            raise TransientError(failure.message, code=failure.code, retry_after_seconds=seconds) from error
        else:
            raise PermanentError(failure.message, code=failure.code) from error
