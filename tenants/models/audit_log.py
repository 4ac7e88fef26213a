"""What people, keys and commands have done."""

from __future__ import annotations

from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.context import require_scope
from tenants.ids import uuid7
from tenants.managers import TenantManager, claim_for_scope


class AuditLogEntry(models.Model):
    """One act, written in the transaction of the change itself and never changed after.

    `tenant` is empty for acts of the platform that concern no tenant; a tenant sees only its own.
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
            # One for each filter that the log's pages offer, in the order in which they show what they find.
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
        claim_for_scope(self, require_scope())
        super().save(*args, **kwargs)
