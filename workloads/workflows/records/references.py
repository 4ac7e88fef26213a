"""The columns of runs and nodes that refer to contents of the file storage."""

from __future__ import annotations

from typing import Final

from tenants.tenancy.bases import TenantModel
from workloads.workflows.records.models import NodeRun, WorkflowRun

FILE_REFERENCES: Final[tuple[tuple[type[TenantModel], str], ...]] = (
    (WorkflowRun, "inputs_key"),
    (WorkflowRun, "outputs_key"),
    (NodeRun, "inputs_key"),
    (NodeRun, "outputs_key"),
)
