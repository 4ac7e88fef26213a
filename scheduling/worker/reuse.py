"""Answering from what an equal job of the tenant has computed, where the kind says that it may."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from scheduling.processors.base import Complete, JobContext, Outcome, TaskProcessor
from scheduling.services.kept_results import find_result, keep_result, key_of


def process(processor: TaskProcessor, context: JobContext) -> Outcome | Mapping[str, Any] | None:
    """What the processor answers, or has answered to an equal job; its answer is kept if the job completes."""
    kind = type(processor)
    if not kind.result_kept_seconds:
        return processor.process(context)
    key = key_of(kind, tenant_id=context.tenant_id, payload=context.payload, settings=context.settings)
    # Who has begun goes on: what it has stored so far may be of a part of its work.
    found = None if context.state else find_result(tenant_id=context.tenant_id, key=key)
    if found is not None:
        context.log("result_reused", job=str(found.job_id))
        return Complete(found.result)
    answer = processor.process(context)
    context.in_settlement(partial(keep_result, kind, key=key, job_id=context.job_id))
    return answer
