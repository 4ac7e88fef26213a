"""Where rows of runs name contents of the file storage."""

from __future__ import annotations

from typing import Final

from scheduling.processors.workflow_storage.models import NodeRun, WorkflowRun
from tenants.models.base import TenantModel

FILE_REFERENCES: Final[tuple[tuple[type[TenantModel], str], ...]] = (
    (WorkflowRun, "inputs_key"),
    (WorkflowRun, "outputs_key"),
    (NodeRun, "inputs_key"),
    (NodeRun, "outputs_key"),
)
