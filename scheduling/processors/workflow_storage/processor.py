"""The kind that applies queued writes of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from scheduling.processors.base import Complete, JobContext, Outcome, TaskProcessor
from scheduling.processors.workflow_storage.repository import apply_pending


class WorkflowStorage(TaskProcessor):
    """Applies whatever waits to be stored of one run; repeated, it finds nothing and changes nothing."""

    kind = "workflow_storage"
    title = "Storing of workflow runs"
    payload_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"run_id": {"type": "string", "format": "uuid", "maxLength": 36}},
        "required": ["run_id"],
        "additionalProperties": False,
    }
    timeout_seconds = 120.0
    is_internal = True

    def process(self, context: JobContext) -> Outcome:
        run_id = UUID(context.payload["run_id"])
        writes = 0

        def apply() -> None:
            nonlocal writes
            writes = apply_pending(run_id)

        # Here and not in the settlement: what fails is an error of this job, with its retries.
        context.checkpoint(context.state, apply)
        return Complete({"writes": writes})
