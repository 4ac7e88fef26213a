"""A verification of the audit log that somebody has asked for: how far it is, and what it has found."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext

from tenants.context import require_scope
from tenants.ids import uuid7
from tenants.managers import TenantManager, claim_for_scope

# Until the end is seen, entries may have come that nobody had counted.
ALMOST = 0.99


class VerificationState(StrEnum):
    """Where a verification stands."""

    RUNNING = "running"
    INTACT = "intact"
    ALTERED = "altered"


class AuditVerification(models.Model):
    """One walk along the chain of a tenant, or along all chains (no tenant), in parts that each leave their `place`.

    `findings` are the first of `finding_count`. One that is not finished is gone on with by upkeep.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    requested_at = models.DateTimeField(db_default=Now(), editable=False)
    actor_kind = models.CharField(max_length=20)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=200, blank=True)
    expected_seals = models.BigIntegerField(help_text="About how many seals there were when it began.")
    chains = models.BigIntegerField(db_default=0, default=0)
    seals = models.BigIntegerField(db_default=0, default=0)
    entries = models.BigIntegerField(db_default=0, default=0)
    heads = models.BigIntegerField(db_default=0, default=0)
    finding_count = models.BigIntegerField(db_default=0, default=0)
    findings = models.JSONField(default=list, encoder=DjangoJSONEncoder)
    place = models.TextField(blank=True)
    advanced_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TenantManager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "-id"], name="audit_verification_by_tenant")]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(finished_at__isnull=True),
                nulls_distinct=False,
                name="audit_verification_one_open",
            )
        ]

    def __str__(self) -> str:
        return gettext("Verification %(id)s") % {"id": self.id}

    def save(self, *args: Any, **kwargs: Any) -> None:
        claim_for_scope(self, require_scope())
        super().save(*args, **kwargs)

    @property
    def is_complete(self) -> bool:
        return self.finished_at is not None

    @property
    def state(self) -> VerificationState:
        """What has been found counts at once; that nothing was found only at the end."""
        if self.finding_count:
            return VerificationState.ALTERED
        return VerificationState.INTACT if self.is_complete else VerificationState.RUNNING

    @property
    def progress(self) -> float:
        """About which part has been looked at: each seal, and each entry once more."""
        if self.is_complete:
            return 1.0
        return min(ALMOST, (self.seals + self.entries) / max(1, 2 * self.expected_seals))
