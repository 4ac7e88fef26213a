"""The erasure of a tenant: asked for, run in steps, and proved; it outlives whom it erased."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext

from tenants.ids import uuid7


class ErasureStatus(models.TextChoices):
    """`pending` is the period of grace, in which it can be cancelled."""

    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    CANCELLED = "cancelled", "Cancelled"


OPEN_STATUSES = (ErasureStatus.PENDING, ErasureStatus.RUNNING)


class TenantErasure(models.Model):
    """One erasure. It keeps of the tenant its id and a hash of its slug, which whoever knows the slug can recompute.

    `removed` counts rows by table and things by name; `before` and `after` are full counts over the catalog.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Not a key and not called tenant_id: the tenant goes, and this row stays.
    subject_id = models.UUIDField()
    slug_sha256 = models.CharField(max_length=64)
    status = models.CharField(max_length=10, choices=ErasureStatus, default=ErasureStatus.PENDING)
    reason = models.CharField(max_length=500)
    requested_by = models.CharField(max_length=200)
    requested_at = models.DateTimeField(db_default=Now())
    starts_at = models.DateTimeField(help_text="End of the period of grace.")
    cancelled_by = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    step = models.CharField(max_length=60, blank=True)
    note = models.CharField(max_length=500, blank=True, help_text="What the step waits for, or its last error.")
    before = models.JSONField(default=dict)
    removed = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    proof = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    proof_sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject_id"],
                condition=models.Q(status__in=("pending", "running")),
                name="one_open_erasure",
            ),
            models.CheckConstraint(condition=models.Q(status__in=ErasureStatus.values), name="erasure_status_known"),
        ]

    def __str__(self) -> str:
        return gettext("Erasure %(id)s") % {"id": self.id}

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES
