"""Models of workflows, their versions, their approvals, and the large values of open runs."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import NamedModel, TenantModel
from tenants.versions.models import VersionedModel, VersionFacts


class ApprovalState(models.TextChoices):
    """The state of an approval."""

    PENDING = "pending", _("Pending")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")
    TIMED_OUT = "timed_out", _("Timed out")
    WITHDRAWN = "withdrawn", _("Withdrawn")


class Workflow(NamedModel, TenantModel, VersionedModel):
    """A named workflow. Its versions hold the definitions; a new run is pinned to the version in effect."""

    # Name and description change without a version.
    is_edited_by_version = False

    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=1_000, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("workflow")
        verbose_name_plural = _("workflows")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="workflow_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], name="workflow_name_unique"),
        ]


class WorkflowVersion(TenantModel, VersionFacts):
    """One version of a workflow's definition. It never changes, because runs are pinned to it."""

    # Rows refer to each other by (tenant, id); the constraint is in the migration.
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
    """A decision that a workflow run requests from people.

    ``node`` is the key of the node that requests it: its id, with the indexes of the iterations around it.
    """

    workflow = models.ForeignKey(
        Workflow, models.CASCADE, verbose_name=_("workflow"), db_constraint=False, db_index=False, related_name="+"
    )
    job_id = models.UUIDField(_("job id"))
    node = models.CharField(_("node"), max_length=200)
    title = models.CharField(_("title"), max_length=500)
    text = models.TextField(_("text"), blank=True)
    state = models.CharField(_("state"), max_length=10, choices=ApprovalState, default=ApprovalState.PENDING)
    comment = models.CharField(_("comment"), max_length=1_000, blank=True)
    decided_by = models.CharField(_("decided by"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    expires_at = models.DateTimeField(_("expires at"))
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)

    class Meta:
        verbose_name = _("approval")
        verbose_name_plural = _("approvals")
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
    """The output of a node that is too large for the checkpoint. It outlives only a failed run, by a week."""

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
