"""The processor of the kind `workflow_execution`: its jobs run one version of a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from django.utils.translation import gettext_noop

from scheduling.kit.base import AsyncJobContext, AsyncTaskProcessor, Outcome
from workloads.documents.embedding_models import load_embedder
from workloads.documents.tenant_settings import EMBEDDING_MODEL
from workloads.workflows.nodes.child_job import MAX_CALLS
from workloads.workflows.running.runner import Runner
from workloads.workflows.tenant_settings import SETTINGS

_ID: Final = {"type": "string", "format": "uuid", "maxLength": 36, "pattern": "^[0-9a-fA-F-]{36}$"}


class WorkflowExecution(AsyncTaskProcessor):
    """Processor of the kind `workflow_execution`. Each job is one run of a workflow."""

    kind = "workflow_execution"
    title = gettext_noop("Workflow run")
    description = gettext_noop("Runs the nodes of a workflow; after a restart it resumes where it stopped.")
    payload_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "workflow_id": _ID,
            "version": {"type": "integer", "minimum": 1},
            "inputs": {"type": "object"},
            "depth": {"type": "integer", "minimum": 0, "maximum": MAX_CALLS},
            "replay": {
                "type": "object",
                "properties": {
                    "run": _ID,
                    "node": {"type": "string", "maxLength": 40},
                    "outputs": {"type": "object", "additionalProperties": {"type": "object"}, "maxProperties": 50},
                },
                "required": ["run", "node"],
                "additionalProperties": False,
            },
        },
        "required": ["workflow_id"],
        "additionalProperties": False,
    }
    # A search by meaning has the embedding model in memory.
    memory_class = "medium"
    # A run gives its slot back at its nodes; the setting max_seconds bounds its working time.
    timeout_seconds = 3_600.0
    # A service that a node calls fails, not the kind.
    has_circuit = False
    settings = (*(setting.key for setting in SETTINGS.settings), EMBEDDING_MODEL.key)

    @classmethod
    def preload(cls) -> None:
        """Load the embedding model of searches in the worker's parent process, so that its processes share it."""
        load_embedder()

    async def process(self, context: AsyncJobContext) -> Outcome:  # type: ignore[override]  # as its base does
        runner = await context.run(Runner.begin, context)
        return await runner.run()
