"""Storing runs by jobs: the engine's transaction holds the write and the job that will apply it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from scheduling.processors.workflow_storage.models import PendingWrite
from scheduling.processors.workflow_storage.processor import WorkflowStorage
from scheduling.processors.workflow_storage.records import NodeRecord, RunRecord
from scheduling.processors.workflow_storage.repository import Write, apply_pending, apply_writes
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_job
from tenants.context import require_tenant_id
from tenants.exceptions import DomainError
from tenants.models import Tenant

logger = logging.getLogger(__name__)


class QueuedRecords:
    """Keeps each write beside the run and submits a job of the kind workflow_storage, all in the engine's transaction.

    The first write of a run is applied at once: a run that was accepted can be read. So is what waits when the
    platform takes no more jobs, for its engine must not fail for that.
    """

    def save_run(self, run: RunRecord) -> None:
        """Store a run as it stands."""
        self._write(Write.of_run(run), is_first=run.version == 1)

    def save_node(self, node: NodeRecord) -> None:
        """Store a node as it stands; RunNotStoredError where its run is not stored."""
        self._write(Write.of_node(node))

    def save_many(self, run: RunRecord, nodes: Sequence[NodeRecord]) -> None:
        """Store a run and some of its nodes, together or not at all."""
        self._write(Write.of_run(run, nodes), is_first=run.version == 1)

    def _write(self, write: Write, *, is_first: bool = False) -> None:
        if is_first:
            apply_writes([write])
            return
        PendingWrite.objects.create(
            tenant_id=require_tenant_id(), run_id=write.run_id, run_row=write.run, node_rows=list(write.nodes)
        )
        _submit(write.run_id)


def _submit(run_id: UUID) -> None:
    tenant = Tenant.objects.select_related("plan").get(pk=require_tenant_id())
    request = JobRequest(kind=WorkflowStorage.kind, payload={"run_id": str(run_id)}, is_internal=True)
    try:
        # In a savepoint, so that a refusal leaves nothing half-done.
        with transaction.atomic():
            submit_job(tenant=tenant, request=request)
    except DomainError as refusal:
        logger.info("a run is stored at once", extra={"run_id": str(run_id), "refusal": refusal.code})
        apply_pending(run_id)
