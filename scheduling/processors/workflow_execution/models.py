"""Workflows with their versions, what runs ask of people, and the large values of runs on their way."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from tenants.models.base import TenantModel
from tenants.models.names import NamedModel
from tenants.versions.models import VersionedModel, VersionFacts


class ApprovalState(models.TextChoices):
    """How a question stands."""

    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    TIMED_OUT = "timed_out", "Timed out"
    WITHDRAWN = "withdrawn", "Withdrawn"


class Workflow(NamedModel, TenantModel, VersionedModel):
    """A workflow by its name; its versions hold the definition, and new runs are pinned to the one in effect."""

    # Name and description change without a version.
    is_edited_by_version = False

    name = models.CharField(max_length=100)
    description = models.CharField(max_length=1_000, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="workflow_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], name="workflow_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class WorkflowVersion(TenantModel, VersionFacts):
    """A definition as it was saved; never changed afterwards, because runs are pinned to it."""

    # Rows refer to each other by (tenant, id); the constraint stands in the migration.
    workflow = models.ForeignKey(Workflow, models.CASCADE, db_constraint=False, db_index=False, related_name="versions")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "workflow", "number"], name="workflow_version_unique"),
        ]
        indexes = [
            models.Index(
                fields=["effective_from"], condition=models.Q(outcome="waiting"), name="workflow_version_waiting"
            )
        ]


class Approval(TenantModel):
    """A question of a run to people. ``node`` is the node that asks, with the indexes of the iterations around it."""

    workflow = models.ForeignKey(Workflow, models.CASCADE, db_constraint=False, db_index=False, related_name="+")
    job_id = models.UUIDField()
    node = models.CharField(max_length=200)
    title = models.CharField(max_length=500)
    text = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=ApprovalState, default=ApprovalState.PENDING)
    comment = models.CharField(max_length=1_000, blank=True)
    decided_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "job_id", "node"], name="approval_node_unique"),
            models.CheckConstraint(condition=models.Q(state__in=ApprovalState.values), name="approval_state_known"),
        ]
        indexes = [
            models.Index(fields=["tenant", "state", "id"], name="approval_by_state"),
            models.Index(fields=["tenant", "workflow"], name="approval_workflow"),
        ]

    def __str__(self) -> str:
        return self.title


class RunValue(TenantModel):
    """Something that a node has made and that is too large for the checkpoint; it goes with the end of the run."""

    job_id = models.UUIDField()
    number = models.PositiveIntegerField()
    storage_key = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "job_id", "number"], name="run_value_unique")]
        indexes = [models.Index(fields=["tenant", "storage_key"], name="run_value_content")]

    def __str__(self) -> str:
        return f"{self.job_id}#{self.number}"


FILE_REFERENCES = ((RunValue, "storage_key"),)
