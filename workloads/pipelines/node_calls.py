"""Nodes of workflows in the graph of a pipeline, done for one entity in its thread."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from scheduling.kit.base import AsyncJobContext, Interrupted, TransientError
from workloads.documents.one_item.steps import StepContext
from workloads.model_endpoints.usage import AnsweredRequest
from workloads.workflows.engine.tasks import Task
from workloads.workflows.engine.variables import Reading
from workloads.workflows.nodes import PREPARATIONS
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode
from workloads.workflows.running.concurrency import within

# How often a thread that awaits an answer checks whether its run stops.
_CHECK_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class EntityJob:
    """What the nodes of workflows need of the context of a job."""

    tenant_id: UUID
    idempotency_key: str

    def stream(self, name: str, text: str, *, restart: bool = False) -> None:
        """Drop the text: a run asks for many entities at once."""


def answer(
    task: Task, reading: Reading, job: EntityJob, *, context: StepContext, usage: list[AnsweredRequest]
) -> NodeOutput:
    """Return what a node of a type of workflows produces; raise as its work does."""
    place = NodeContext(task.key, task.node, reading, {}, cast("AsyncJobContext", job), usage)
    work = PREPARATIONS[task.node.type](place)
    return cast("NodeOutput", work.now() if work.now is not None else _call(work, task, context))


def _call(work: PreparedNode, task: Task, context: StepContext) -> Any:
    """Return the answer of a host or a model; the next endpoint is asked if one is down."""
    while True:
        try:
            with context.dependency(work.dependency) if work.dependency else nullcontext():
                return asyncio.run(_await(work, task.node.timeout_seconds, context))
        except (Interrupted, TransientError) as error:
            is_down = isinstance(error, TransientError) or error.cause == "dependency"
            if work.fallback is not None and is_down:
                work = work.fallback()
            elif isinstance(error, Interrupted) and is_down and task.node.type == "http_request":
                # The whole run does not wait for one host.
                message = "The host has failed too often; requests to it are suspended for now."
                raise TransientError(message, code="host_down") from None
            else:
                raise


async def _await(work: PreparedNode, seconds: float, context: StepContext) -> Any:
    assert work.later is not None
    running = asyncio.ensure_future(within(work.later, seconds, work.usual_seconds))
    while not (await asyncio.wait([running], timeout=_CHECK_SECONDS))[0]:
        context.check_running()
    return running.result()
