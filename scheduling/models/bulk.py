"""Bulk operations: one act on all the jobs of a filter, kept as a row while it goes on and after it has ended."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext

from tenants.context import require_scope
from tenants.encryption.fields import SealedJSONField
from tenants.ids import uuid7
from tenants.managers import TenantManager, claim_for_scope
from tenants.models.base import TenantModel


class BulkOperation(models.Model):
    """One act on all the jobs of a filter; without a tenant it reaches those of all tenants.

    A reroute has no filter: it goes over all that waits, pass after pass.
    Which jobs are meant is frozen when it starts: ``filter`` without anything that moves with the clock, ``newest_id``
    and ``frozen_at``. Its turns go along the jobs' ids; ``position`` is written in the transaction of what was done.
    """

    class Operation(models.TextChoices):
        CANCEL = "cancel", "cancel"
        RETRY = "retry", "retry"
        REQUEUE = "requeue", "requeue dead letters"
        DISCARD = "discard", "discard"
        REPRIORITISE = "reprioritise", "change the priority"
        MOVE_QUEUE = "move_queue", "move to another queue"
        REROUTE = "reroute", "move to the queues that routing names"

    class State(models.TextChoices):
        PENDING = "pending", "pending"
        RUNNING = "running", "running"
        COMPLETED = "completed", "completed"
        ABORTED = "aborted", "aborted"
        FAILED = "failed", "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    operation = models.CharField(max_length=12, choices=Operation.choices)
    parameters = models.JSONField(default=dict, help_text="The priority or the queue that the jobs are to have.")
    filter = models.TextField(help_text="Which jobs, as it was frozen.")
    asked_filter = models.TextField(help_text="Which jobs, as they were asked for.")
    frozen_at = models.DateTimeField(help_text="Jobs that were submitted later are not touched.")
    newest_id = models.UUIDField(null=True, help_text="The greatest id that there was; empty where there was no job.")
    expected = models.PositiveIntegerField(help_text="Jobs that matched when it was started, counted up to a limit.")
    is_expected_capped = models.BooleanField(default=False, help_text="Whether more may have matched.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    seen = models.PositiveBigIntegerField(default=0, help_text="Matching jobs that it has come by.")
    changed = models.PositiveBigIntegerField(default=0, help_text="Jobs to which it was done.")
    ineligible = models.JSONField(default=dict, help_text="Jobs to which it could not be done, by reason.")
    changed_by_tenant = models.JSONField(default=dict, help_text="For the audit log.")
    payload_patch = SealedJSONField(null=True, help_text="Merged into the payload of each job that is replayed.")
    position = models.JSONField(default=dict, help_text="Where the next turn goes on.")
    batch_id = models.UUIDField(null=True, help_text="The batch that is cancelled by it.")
    resume_at = models.DateTimeField(null=True, help_text="When a limit that it has reached lets it go on.")
    failures = models.PositiveSmallIntegerField(default=0, help_text="Turns in a row that failed.")
    error = models.CharField(max_length=500, blank=True, default="")
    reason = models.CharField(max_length=500)
    actor_kind = models.CharField(max_length=20)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    is_actor_of_tenant = models.BooleanField(default=False)
    may_use_secrets = models.BooleanField(default=True, help_text="Whether its actor had the right when it started.")
    may_manage_webhooks = models.BooleanField(default=True, help_text="The same for webhooks.")
    # Without a constraint, so that the rows of an erased tenant go in any order.
    undo_of = models.OneToOneField("self", models.CASCADE, null=True, db_constraint=False, related_name="undone_by")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = TenantManager()

    class Meta:
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
        """Return whether it changes payloads, without opening the sealed patch."""
        return self.__dict__["payload_patch"] is not None

    @property
    def after(self) -> UUID | None:
        """Return the last id that a turn has looked at, or None before the first turn."""
        return UUID(self.position["after"]) if "after" in self.position else None

    @after.setter
    def after(self, last_id: UUID | None) -> None:
        self.position = {} if last_id is None else {"after": str(last_id)}

    @property
    def ineligible_count(self) -> int:
        return sum(self.ineligible.values())

    @property
    def is_undoable(self) -> bool:
        """Whether what it did can be taken back at all; an undo itself is not undone."""
        values = (self.Operation.REPRIORITISE, self.Operation.MOVE_QUEUE)
        return not self.is_open and self.undo_of_id is None and self.operation in values and self.changed > 0


class BulkFormer(TenantModel):
    """What jobs of one turn and one tenant had before: parallel arrays, a row instead of a thousand.

    ``formers`` are priorities or ids of queues. Kept as long as the operation can be undone.
    """

    operation = models.ForeignKey(BulkOperation, models.CASCADE, db_index=False, related_name="formers")
    job_ids = ArrayField(models.UUIDField())
    formers = ArrayField(models.BigIntegerField())

    class Meta:
        db_table = "scheduling_bulk_former"
        indexes = [models.Index(fields=["operation", "id"], name="bulk_former_by_operation")]

    def __str__(self) -> str:
        return gettext("%(count)s jobs of %(operation)s") % {"count": len(self.job_ids), "operation": self.operation_id}
