"""Models of the audit log: its entries, and the seals, heads and removals that prove it complete."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.audit.chain import GENESIS, PLATFORM_CHAIN
from tenants.context import claim_for_scope, require_scope
from tenants.database.ids import uuid7
from tenants.tenancy.bases import ModelT, ScopedManager, TenantManager


class AuditLogEntry(models.Model):
    """An audit entry, written in the same transaction as the change that it records, and never altered.

    `tenant` is null for platform actions that concern no tenant. A tenant sees only its own entries.
    """

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(
        "tenants.Tenant",
        verbose_name=_("tenant"),
        on_delete=models.PROTECT,
        null=True,
        db_index=False,
        related_name="+",
    )
    at = models.DateTimeField(_("at"), db_default=Now(), editable=False)
    actor_kind = models.CharField(_("actor kind"), max_length=20)
    actor_id = models.CharField(_("actor id"), max_length=64, blank=True)
    actor_label = models.CharField(_("actor label"), max_length=200, blank=True)
    action = models.CharField(_("action"), max_length=100)
    target_type = models.CharField(_("target type"), max_length=100)
    target_id = models.CharField(_("target id"), max_length=64)
    before = models.JSONField(_("before"), null=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(_("after"), null=True, encoder=DjangoJSONEncoder)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    request_id = models.CharField(_("request id"), max_length=64, blank=True)

    objects = TenantManager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("audit log entry")
        verbose_name_plural = _("audit log entries")
        indexes = [
            models.Index(fields=["tenant", "-id"], name="audit_by_tenant"),
            models.Index(fields=["target_type", "target_id", "-id"], name="audit_by_target"),
            # One for each filter of the log's pages, in the order of their results.
            models.Index(fields=["action", "-id"], name="audit_by_action"),
            models.Index(fields=["tenant", "action", "-id"], name="audit_by_tenant_action"),
            models.Index(fields=["target_id", "-id"], name="audit_by_target_id"),
            models.Index(fields=["actor_label", "-id"], name="audit_by_actor_label"),
            models.Index(fields=["actor_id", "-id"], name="audit_by_actor_id"),
            models.Index(fields=["request_id", "-id"], name="audit_by_request"),
            models.Index(fields=["tenant", "actor_label", "-id"], name="audit_by_tenant_label"),
            models.Index(fields=["tenant", "actor_id", "-id"], name="audit_by_tenant_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target_type} {self.target_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the entry; raise if its tenant is outside the current scope."""
        claim_for_scope(self, require_scope())
        super().save(*args, **kwargs)


class ChainManager(ScopedManager[ModelT]):
    """Manager of rows that belong to a chain. A chain has the id of its tenant.

    The rows of the platform's own chain are visible only in a scope of all tenants.
    """

    tenant_attribute = "chain"


class AuditPending(models.Model):
    """An audit entry that is not part of its hash chain yet; a database trigger inserts the row with the entry."""

    entry_id = models.UUIDField(primary_key=True)
    tenant_id = models.UUIDField(null=True)
    queued_at = models.DateTimeField(db_default=Now())

    objects = TenantManager()


class AuditSeal(models.Model):
    """The position of an audit entry in its hash chain. The sealer writes it once; only pruning removes it."""

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
    """The signed end of a chain at one time. A copy kept outside proves that all entries before it are unaltered."""

    class Kind(models.TextChoices):
        HEAD = "head", _("Head")
        CHECKPOINT = "checkpoint", _("Pruned")
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
    """The furthest end that a chain has reached.

    Database triggers on seals and heads raise it; only the owner of the tables may write it.
    """

    chain = models.UUIDField(primary_key=True)
    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default=GENESIS)
    signed_sequence = models.BigIntegerField(default=0)
    # The signed head of an erased chain, from which the chain would continue.
    final_head = models.JSONField(null=True)

    objects = ChainManager()

    def __str__(self) -> str:
        return f"#{self.sequence}"


class AuditRemoval(models.Model):
    """A request to the auditor to prune or erase a chain, and the numbers of rows removed so far, by table."""

    class Kind(models.TextChoices):
        """The reason of a removal."""

        RETENTION = "retention", _("Retention")
        ERASURE = "erasure", _("Erasure")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    chain = models.UUIDField()
    kind = models.CharField(max_length=10, choices=Kind)
    before = models.DateTimeField(help_text="Entries sealed before this time are removed.")
    requested_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True)
    removed = models.JSONField(default=dict, encoder=DjangoJSONEncoder)

    objects = ChainManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chain", "kind"], name="audit_removal_one_of_kind"),
            # PostgreSQL has dates that Python lacks.
            models.CheckConstraint(
                condition=models.Q(before__range=(datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))),
                name="audit_removal_before_is_a_date",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.chain}"
