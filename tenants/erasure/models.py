"""The model of tenant erasures, whose rows remain after the tenants are gone."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.database.ids import uuid7


class ErasureStatus(models.TextChoices):
    """The state of an erasure. It can be cancelled while `pending`, that is during the grace period."""

    PENDING = "pending", _("Pending")
    RUNNING = "running", _("Running")
    COMPLETED = "completed", _("Completed")
    CANCELLED = "cancelled", _("Cancelled")


OPEN_STATUSES = (ErasureStatus.PENDING, ErasureStatus.RUNNING)


class TenantErasure(models.Model):
    """The erasure of one tenant: its request, its progress and its proof.

    It stores only the tenant's id and a hash of its slug, which can be recomputed from the slug. `removed` counts rows
    by table and other things by name; `before` and `after` are complete counts of the same.
    """

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    # Neither a foreign key nor named tenant_id: the tenant is deleted, and this row stays.
    subject_id = models.UUIDField(_("subject id"))
    slug_sha256 = models.CharField(_("slug sha256"), max_length=64)
    status = models.CharField(_("status"), max_length=10, choices=ErasureStatus, default=ErasureStatus.PENDING)
    reason = models.CharField(_("reason"), max_length=500)
    requested_by = models.CharField(_("requested by"), max_length=200)
    requested_at = models.DateTimeField(_("requested at"), db_default=Now())
    starts_at = models.DateTimeField(_("starts at"), help_text=_("End of the grace period."))
    cancelled_by = models.CharField(_("cancelled by"), max_length=200, blank=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    step = models.CharField(_("step"), max_length=60, blank=True)
    note = models.CharField(
        _("note"), max_length=500, blank=True, help_text=_("Why the step waits, or its last error.")
    )
    before = models.JSONField(_("before"), default=dict)
    removed = models.JSONField(_("removed"), default=dict)
    after = models.JSONField(_("after"), default=dict)
    proof = models.JSONField(_("proof"), null=True, blank=True, encoder=DjangoJSONEncoder)
    proof_sha256 = models.CharField(_("proof sha256"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("tenant erasure")
        verbose_name_plural = _("tenant erasures")
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
        """Return whether the erasure is pending or running."""
        return self.status in OPEN_STATUSES
