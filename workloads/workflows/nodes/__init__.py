"""What the nodes of each type do, one module per type.

The `prepare` function of a module reads the node's variables and returns its work and where the work runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from workloads.workflows.nodes import (
    approval,
    child_job,
    condition,
    delay,
    embedding,
    end,
    http_request,
    iteration,
    json_extract,
    knowledge_retrieval,
    llm,
    loop,
    merge,
    start,
    template,
)
from workloads.workflows.nodes.work import NodeContext, PreparedNode

PREPARATIONS: Final[Mapping[str, Callable[[NodeContext], PreparedNode]]] = {
    "start": start.prepare,
    "end": end.prepare,
    "template": template.prepare,
    "http_request": http_request.prepare,
    "knowledge_retrieval": knowledge_retrieval.prepare,
    "llm": llm.prepare,
    "condition": condition.prepare,
    "iteration": iteration.prepare,
    "delay": delay.prepare,
    "job": child_job.prepare,
    "sub_workflow": child_job.prepare,
    "merge": merge.prepare,
    "loop": loop.prepare,
    "embedding": embedding.prepare,
    "json_extract": json_extract.prepare,
    "approval": approval.prepare,
}
