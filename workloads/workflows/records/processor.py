"""The processor of the kind `workflow_storage`: its jobs store runs executed outside the platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext_noop

from scheduling.kit.base import Complete, JobContext, Outcome, TaskProcessor
from workloads.workflows.records.record_format import read_record
from workloads.workflows.records.repository import save_external_record


class WorkflowStorage(TaskProcessor):
    """Processor of the kind `workflow_storage`. Each job stores one record of a run."""

    kind = "workflow_storage"
    title = gettext_noop("Storing of workflow runs")
    description = gettext_noop(
        "Stores the record of its payload; a repeated or late record never replaces a newer one."
    )
    payload_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "run": {"type": "object"},
            "nodes": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["run", "nodes"],
        "additionalProperties": False,
    }
    timeout_seconds = 120.0
    is_internal = True

    def process(self, context: JobContext) -> Outcome:
        run, nodes = read_record(context.payload, tenant_id=context.tenant_id, job_id=context.job_id)
        is_stored = False

        def store() -> None:
            nonlocal is_stored
            is_stored = save_external_record(run, nodes)

        # Not in the settlement: a failure here is an error of this job, with its retries.
        context.checkpoint(context.state, store)
        return Complete({"run": str(run.run_id), "nodes": len(nodes), "is_stored": is_stored})
