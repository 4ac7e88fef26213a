"""The processor of the kind `dataset_operation`: it changes all documents of a dataset, a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import accumulate
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_noop

from scheduling.kit.base import Complete, Discard, JobContext, Outcome, PermanentError, Snoozed, TaskProcessor, Yielded
from tenants.context import tenant_context
from tenants.exceptions import DomainError
from workloads.documents.indexing.dataset_operations import (
    KIND,
    MAX_NAMED,
    OPERATIONS,
    Operation,
    apply,
    find_targets,
    finish_deletion,
    open_dataset,
)

# Documents of one transaction. Those that are deleted take their chunks with them.
BATCH_DOCUMENTS = 500
BATCH_CHUNKS = 10_000
# Batches of one execution, which must end before its time limit.
BATCHES = 50
# The wait until a limit of the tenant, such as that of its waiting jobs, has room again.
LIMIT_SECONDS = 30.0


class DatasetOperation(TaskProcessor):
    """Processor of the kind `dataset_operation`. Each job is one operation over the documents of a dataset."""

    kind = KIND
    title = gettext_noop("Operation over a dataset")
    description = gettext_noop("Deletes, re-indexes, disables or enables the documents of a dataset, batch by batch.")
    payload_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "dataset_id": {"type": "string", "format": "uuid", "maxLength": 36},
            "operation": {"enum": list(OPERATIONS)},
            "total": {"type": "integer", "minimum": 0},
            "everything": {"type": "boolean"},
            "discard_edits": {"type": "boolean"},
            "documents": {"type": "array", "items": {"type": "string", "maxLength": 36}, "maxItems": MAX_NAMED},
        },
        "required": ["dataset_id", "operation", "total"],
        "additionalProperties": False,
    }
    timeout_seconds = 900.0
    is_internal = True
    is_mergeable = False

    def process(self, context: JobContext) -> Outcome:
        state: dict[str, Any] = {"after": None, "done": 0, **context.state}
        size = BATCH_DOCUMENTS
        for _ in range(BATCHES):
            try:
                found = _next_documents(context, state["after"], size)
                if not found:
                    return _complete(context, state["done"])
                following = {"after": str(max(found)), "done": state["done"] + len(found)}
                context.checkpoint(following, partial(apply, context.tenant_id, context.payload, found))
            except DomainError as refusal:
                if refusal.category == "limited" and size > 1:
                    size //= 2
                    continue
                return _end(context, refusal, state)
            state = following
            context.report_progress(state["done"], max(state["done"], context.payload["total"]), "documents")
            if context.should_yield():
                break
        return Yielded(state)


def _next_documents(context: JobContext, after: str | None, size: int) -> dict[UUID, UUID]:
    """Return the next documents of the operation, each with its job; empty if all are done.

    Raise as `open_dataset` does.
    """
    with tenant_context(context.tenant_id):
        targets = find_targets(open_dataset(context.payload), context.payload)
        rows = targets.filter(pk__gt=after) if after else targets
        counted = Coalesce("chunks_total", 0) + F("kept_chunks")
        found = rows.order_by("pk").values_list("pk", "job_id", counted)[:size]
        before = accumulate((count for *_, count in found), initial=0)
        return {pk: job for (pk, job, _), chunks in zip(found, before, strict=False) if chunks < BATCH_CHUNKS}


def _complete(context: JobContext, done: int) -> Outcome:
    operation = context.payload["operation"]
    if operation == Operation.DELETE:
        context.in_settlement(partial(finish_deletion, context.payload))
    return Complete({"operation": operation, "documents": done})


def _end(context: JobContext, refusal: DomainError, state: Mapping[str, Any]) -> Outcome:
    """Return the outcome of a refused batch: wait for room, or end if the dataset is gone; else raise the refusal."""
    if refusal.category in {"limited", "unavailable"}:
        context.log("limited", level="warning", reason=str(refusal))
        return Snoozed(state, float(refusal.retry_after_seconds or LIMIT_SECONDS))
    if refusal.category == "not_found":
        return Discard(str(refusal), PermanentError(str(refusal), code=refusal.code))
    raise refusal
