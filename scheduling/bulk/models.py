"""Rows of bulk operations, which are kept after the operations have ended, and the former values for an undo."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.context import claim_for_scope, require_scope
from tenants.database.ids import uuid7
from tenants.encryption.error_texts import SealedErrorField
from tenants.encryption.fields import SealedJSONField
from tenants.tenancy.bases import TenantManager, TenantModel


class BulkOperation(models.Model):
    """One action on all jobs of a filter; without a tenant it reaches the jobs of all tenants.

    ``filter`` (without relative times), ``newest_id`` and ``frozen_at`` fix the set of jobs at the start. The operation
    runs in turns, transactions that process up to 1,000 jobs in the order of their ids and store in ``position`` where
    the next turn begins. A reroute has no filter: its turns scan all waiting jobs repeatedly.
    """

    class Operation(models.TextChoices):
        CANCEL = "cancel", _("cancel")
        RETRY = "retry", _("retry")
        REQUEUE = "requeue", _("requeue dead letters")
        DISCARD = "discard", _("discard")
        REPRIORITISE = "reprioritise", _("change the priority")
        MOVE_QUEUE = "move_queue", _("move to another queue")
        REROUTE = "reroute", _("move to the queues of the current routing")

    class State(models.TextChoices):
        PENDING = "pending", _("pending")
        RUNNING = "running", _("running")
        COMPLETED = "completed", _("completed")
        ABORTED = "aborted", _("aborted")
        FAILED = "failed", _("failed")

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(
        "tenants.Tenant",
        verbose_name=_("tenant"),
        on_delete=models.PROTECT,
        null=True,
        db_index=False,
        related_name="+",
    )
    operation = models.CharField(_("operation"), max_length=12, choices=Operation.choices)
    parameters = models.JSONField(_("parameters"), default=dict, help_text=_("New priority or queue of the jobs."))
    filter = models.TextField(_("filter"), help_text=_("The filter as frozen at the start."))
    asked_filter = models.TextField(_("requested filter"), help_text=_("The filter as requested."))
    frozen_at = models.DateTimeField(_("frozen at"), help_text=_("Jobs submitted later are not changed."))
    newest_id = models.UUIDField(
        _("newest id"), null=True, help_text=_("The greatest id at the start; empty without a job.")
    )
    expected = models.PositiveIntegerField(
        _("expected"), help_text=_("Jobs that matched at the start, counted up to a limit.")
    )
    is_expected_capped = models.BooleanField(
        _("is expected capped"), default=False, help_text=_("Whether more may have matched.")
    )
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.PENDING)
    seen = models.PositiveBigIntegerField(_("seen"), default=0, help_text=_("Matching jobs processed so far."))
    changed = models.PositiveBigIntegerField(_("changed"), default=0, help_text=_("Jobs changed so far."))
    ineligible = models.JSONField(
        _("ineligible"), default=dict, help_text=_("Jobs that could not be changed, by reason.")
    )
    changed_by_tenant = models.JSONField(_("changed by tenant"), default=dict, help_text=_("For the audit log."))
    payload_patch = SealedJSONField(
        verbose_name=_("payload patch"), null=True, help_text=_("Merged into the payload of each job that is replayed.")
    )
    position = models.JSONField(_("position"), default=dict, help_text=_("Start of the next turn."))
    batch_id = models.UUIDField(_("batch id"), null=True, help_text=_("The batch that is cancelled by it."))
    resume_at = models.DateTimeField(_("resume at"), null=True, help_text=_("When it resumes after reaching a limit."))
    failures = models.PositiveSmallIntegerField(_("failures"), default=0, help_text=_("Consecutive failed turns."))
    error = SealedErrorField(_("error"), max_length=500, blank=True, default="")
    reason = models.CharField(_("reason"), max_length=500)
    actor_kind = models.CharField(_("actor kind"), max_length=20)
    actor_id = models.CharField(_("actor id"), max_length=64, blank=True)
    actor_label = models.CharField(_("actor label"), max_length=200, blank=True)
    request_id = models.CharField(_("request id"), max_length=64, blank=True)
    is_actor_of_tenant = models.BooleanField(_("is actor of tenant"), default=False)
    may_use_secrets = models.BooleanField(
        _("may use secrets"), default=True, help_text=_("Whether its actor had the permission at the start.")
    )
    may_manage_webhooks = models.BooleanField(
        _("may manage webhooks"), default=True, help_text=_("The same for webhooks.")
    )
    # Without a constraint, so that the rows of an erased tenant can be deleted in any order.
    undo_of = models.OneToOneField(
        "self", models.CASCADE, verbose_name=_("undo of"), null=True, db_constraint=False, related_name="undone_by"
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    started_at = models.DateTimeField(_("started at"), null=True)
    finished_at = models.DateTimeField(_("finished at"), null=True)

    objects = TenantManager()

    class Meta:
        verbose_name = _("bulk operation")
        verbose_name_plural = _("bulk operations")
        db_table = "scheduling_bulk_operation"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="bulk_operation_by_tenant"),
            models.Index(fields=["id"], condition=Q(finished_at__isnull=True), name="bulk_operation_open"),
            models.Index(fields=["batch_id"], condition=Q(batch_id__isnull=False), name="bulk_operation_of_batch"),
        ]

    def __str__(self) -> str:
        return f"{self.get_operation_display()}: {self.asked_filter}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        claim_for_scope(self, require_scope())
        super().save(*args, **kwargs)

    @property
    def is_open(self) -> bool:
        return self.finished_at is None

    @property
    def has_payload_patch(self) -> bool:
        """Return whether the operation changes payloads, without decrypting the patch."""
        return self.__dict__["payload_patch"] is not None

    @property
    def after(self) -> UUID | None:
        """Return the last id that a turn has processed, or None before the first turn."""
        return UUID(self.position["after"]) if "after" in self.position else None

    @after.setter
    def after(self, last_id: UUID | None) -> None:
        self.position = {} if last_id is None else {"after": str(last_id)}

    @property
    def is_undoable(self) -> bool:
        """Return whether the operation has ended and changed priorities or queues; an undo cannot be undone."""
        values = (self.Operation.REPRIORITISE, self.Operation.MOVE_QUEUE)
        return not self.is_open and self.undo_of_id is None and self.operation in values and self.changed > 0


class BulkFormer(TenantModel):
    """Former priorities or queue ids of the jobs of one tenant that one turn changed, as parallel arrays.

    The arrays need one row instead of one for each job. Rows are kept as long as the operation can be undone.
    """

    operation = models.ForeignKey(BulkOperation, models.CASCADE, db_index=False, related_name="formers")
    job_ids = ArrayField(models.UUIDField())
    formers = ArrayField(models.BigIntegerField())

    class Meta:
        db_table = "scheduling_bulk_former"
        indexes = [models.Index(fields=["operation", "id"], name="bulk_former_by_operation")]

    def __str__(self) -> str:
        return gettext("%(count)s jobs of %(operation)s") % {"count": len(self.job_ids), "operation": self.operation_id}
