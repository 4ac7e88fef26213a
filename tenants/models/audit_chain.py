"""What proves that the audit log is whole: entries that wait for their seal, seals, signed heads, counters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.chain import GENESIS, PLATFORM_CHAIN
from tenants.ids import uuid7
from tenants.managers import ModelT, ScopedManager, TenantManager
from tenants.models.audit_log import AuditLogEntry


class ChainManager(ScopedManager[ModelT]):
    """Rows of a chain, which bears the id of its tenant; the platform's own is seen behind the door alone."""

    tenant_attribute = "chain"


class AuditPending(models.Model):
    """An entry that has no seal yet. A trigger of the log writes it, so that no insert whatever is forgotten."""

    entry_id = models.UUIDField(primary_key=True)
    tenant_id = models.UUIDField(null=True)
    queued_at = models.DateTimeField(db_default=Now())

    objects = TenantManager()


class AuditSeal(models.Model):
    """The place of one entry in its chain: written once by the sealer, removed by pruning alone."""

    entry = models.OneToOneField(
        AuditLogEntry, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="seal"
    )
    chain = models.UUIDField()
    sequence = models.BigIntegerField()
    entry_hash = models.CharField(max_length=64)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)
    sealed_at = models.DateTimeField()

    objects = ChainManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chain", "sequence"], name="audit_seal_sequence_unique")]

    def __str__(self) -> str:
        return f"#{self.sequence}"


class AuditHead(models.Model):
    """Where a chain stood, signed. Whoever keeps a copy elsewhere can prove that what was before it is untouched."""

    class Kind(models.TextChoices):
        HEAD = "head", _("Head")
        CHECKPOINT = "checkpoint", _("Pruned up to here")
        FINAL = "final", _("Erased")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    chain = models.UUIDField()
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.HEAD)
    sequence = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    signed_at = models.DateTimeField()
    key_id = models.CharField(max_length=16)
    signature = models.CharField(max_length=88)

    objects = ChainManager()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["chain", "sequence"], name="audit_head_by_chain"),
            models.Index(
                fields=["chain", "-sequence"], condition=~models.Q(kind="head"), name="audit_head_by_checkpoint"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(kind="final", chain=PLATFORM_CHAIN), name="audit_head_platform_never_erased"
            ),
            models.CheckConstraint(condition=models.Q(sequence__gte=0), name="audit_head_sequence_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.sequence}"


class AuditCounter(models.Model):
    """How far a chain has ever come. Triggers of seals and heads raise it; no role but the tables' owner writes it."""

    chain = models.UUIDField(primary_key=True)
    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default=GENESIS)
    signed_sequence = models.BigIntegerField(default=0)
    # The signed head of a chain that was erased, from which it would go on.
    final_head = models.JSONField(null=True)

    objects = ChainManager()

    def __str__(self) -> str:
        return f"#{self.sequence}"


class AuditRemoval(models.Model):
    """A request to the auditor: prune a chain, or erase all of it. The auditor counts what it removed by table."""

    class Kind(models.TextChoices):
        RETENTION = "retention", _("Retention")
        ERASURE = "erasure", _("Erasure")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    chain = models.UUIDField()
    kind = models.CharField(max_length=10, choices=Kind)
    before = models.DateTimeField(help_text="Entries that were sealed earlier go.")
    requested_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True)
    removed = models.JSONField(default=dict, encoder=DjangoJSONEncoder)

    objects = ChainManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chain", "kind"], name="audit_removal_one_of_kind"),
            # PostgreSQL has dates that Python has not.
            models.CheckConstraint(
                condition=models.Q(before__range=(datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))),
                name="audit_removal_before_is_a_date",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.chain}"
