"""Tables of the policy of approvals and of the requests."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.approvals.acts import act_choices
from tenants.database.ids import uuid7
from tenants.tenancy.bases import OptionalTenantModel

MOST_HOURS = 30 * 24


class ApprovalRule(models.Model):
    """An act that needs a second person. Without a rule it needs none."""

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    act = models.CharField(_("act"), max_length=40, choices=act_choices, unique=True)
    above = models.PositiveIntegerField(
        _("above"), null=True, blank=True, help_text=_("Bulk operations: for more jobs than this; empty: for all.")
    )
    hours = models.PositiveSmallIntegerField(
        _("hours"),
        default=24,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_HOURS)],
        help_text=_("A request expires after so many hours."),
    )

    class Meta:
        db_table = "tenants_approval_rule"
        ordering = ["act"]
        verbose_name = _("approval rule")
        verbose_name_plural = _("approval rules")

    def __str__(self) -> str:
        return str(self.get_act_display())


class ApprovalStatus(models.TextChoices):
    """The stored state of a request. ``approved`` waits for the requester to repeat the call; ``done`` is the end."""

    PENDING = "pending", _("Pending")
    APPROVED = "approved", _("Approved, not used yet")
    DONE = "done", _("Approved and done")
    REJECTED = "rejected", _("Rejected")


class ApprovalRequest(OptionalTenantModel):
    """A request to do an act, with its arguments and a preview.

    ``requester`` and ``decider`` identify persons, such as ``user:7``; an API key stands for the user who issued it.
    """

    act = models.CharField(_("act"), max_length=40, choices=act_choices)
    arguments = models.JSONField(_("arguments"))
    digest = models.CharField(_("digest"), max_length=64)
    preview = models.CharField(_("preview"), max_length=1000)
    is_repeated = models.BooleanField(_("the requester repeats the call"))
    status = models.CharField(_("status"), max_length=10, choices=ApprovalStatus, default=ApprovalStatus.PENDING)
    requester = models.CharField(_("requester"), max_length=200)
    requested_by = models.CharField(_("requested by"), max_length=200)
    requested_at = models.DateTimeField(_("requested at"), db_default=Now())
    expires_at = models.DateTimeField(_("expires at"))
    decider = models.CharField(_("decider"), max_length=200, blank=True)
    decided_by = models.CharField(_("decided by"), max_length=200, blank=True)
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    expiry_mailed_at = models.DateTimeField(_("expiry mailed at"), null=True, editable=False)

    class Meta:
        db_table = "tenants_approval_request"
        ordering = ["-id"]
        verbose_name = _("approval request")
        verbose_name_plural = _("approval requests")
        indexes = [models.Index(fields=["digest"], name="approval_of_act")]
        constraints = [
            models.CheckConstraint(condition=~Q(decider=F("requester")), name="approval_by_another"),
            models.CheckConstraint(condition=Q(status__in=ApprovalStatus.values), name="approval_status_known"),
            models.CheckConstraint(
                condition=Q(status="pending", decided_at=None, decider="")
                | Q(~Q(status="pending"), ~Q(decider=""), decided_at__isnull=False),
                name="approval_decided_by_person",
            ),
        ]

    def __str__(self) -> str:
        return self.preview
