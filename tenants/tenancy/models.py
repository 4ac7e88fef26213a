"""The model of tenants."""

from __future__ import annotations

from decimal import Decimal

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.database.ids import uuid7
from tenants.plans.models import Plan
from tenants.tenancy.bases import NamedModel, PauseFacts, TenantSelfManager
from tenants.tenancy.regions import MOST_REGIONS, REGION, REGION_LENGTH


class TenantStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    SUSPENDED = "suspended", _("Suspended")


class Tenant(NamedModel, PauseFacts):
    """A customer of the platform.

    Only the platform sets `status`; the jobs of a suspended tenant are neither accepted nor dispatched. The jobs of a
    paused tenant are accepted and wait. A draining tenant's new jobs are refused while existing ones run. A tenant may
    pause and drain itself, but cannot change or end a pause or drain that the platform has set.
    """

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(_("slug"), unique=True, max_length=50)
    name = models.CharField(_("name"), max_length=200)
    plan = models.ForeignKey(Plan, verbose_name=_("plan"), on_delete=models.PROTECT, related_name="+")
    weight_factor = models.DecimalField(
        _("weight factor"),
        max_digits=6,
        decimal_places=3,
        default=Decimal(1),
        validators=[MinValueValidator(Decimal("0.001"))],
        help_text=_("Multiplies the plan's weight for this tenant."),
    )
    max_concurrency = models.PositiveIntegerField(
        _("max concurrency"), null=True, blank=True, help_text=_("Jobs in flight at once; empty: the plan's number.")
    )
    home_region = models.CharField(
        _("home region"),
        max_length=REGION_LENGTH,
        validators=[REGION],
        blank=True,
        default="",
        db_default="",
        help_text=_("Region to which routing rules send its jobs first; empty: none."),
    )
    allowed_regions = ArrayField(
        models.CharField(max_length=REGION_LENGTH, validators=[REGION]),
        verbose_name=_("allowed regions"),
        size=MOST_REGIONS,
        default=list,
        db_default=[],
        blank=True,
        help_text=_("The only regions that run its jobs, the nearest first, separated by commas; empty: all pools."),
    )
    status = models.CharField(_("status"), max_length=20, choices=TenantStatus, default=TenantStatus.ACTIVE)
    status_reason = models.CharField(_("status reason"), max_length=500, blank=True)
    suspended_by = models.CharField(_("suspended by"), max_length=200, blank=True, default="", editable=False)
    suspended_at = models.DateTimeField(_("suspended at"), null=True, blank=True, editable=False)
    suspended_until = models.DateTimeField(
        _("suspended until"),
        null=True,
        blank=True,
        help_text=_("Reinstated automatically at this time; empty: manually."),
    )
    is_draining = models.BooleanField(_("is draining"), default=False)
    drain_reason = models.CharField(_("drain reason"), max_length=500, blank=True, default="")
    draining_by = models.CharField(_("draining by"), max_length=200, blank=True, default="", editable=False)
    draining_at = models.DateTimeField(_("draining at"), null=True, blank=True, editable=False)
    draining_until = models.DateTimeField(_("draining until"), null=True, blank=True)
    is_draining_by_platform = models.BooleanField(
        _("is draining by platform"), default=False, db_default=False, editable=False
    )
    drained_at = models.DateTimeField(_("drained at"), null=True, blank=True, editable=False)
    is_paused = models.BooleanField(_("is paused"), default=False)
    pause_reason = models.CharField(_("pause reason"), max_length=500, blank=True)
    is_paused_by_platform = models.BooleanField(
        _("is paused by platform"), default=False, db_default=False, editable=False
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    # Of the data with which it was provisioned, to recognise a repeated call; empty: created without an owner.
    provision_digest = models.CharField(
        _("provision digest"), max_length=16, blank=True, default="", db_default="", editable=False
    )

    objects = TenantSelfManager()

    class Meta:
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(condition=models.Q(weight_factor__gt=0), name="tenant_weight_factor_positive"),
            models.CheckConstraint(condition=models.Q(status__in=TenantStatus.values), name="tenant_status_known"),
        ]
        # The dispatchers query these twice a second; they contain the few tenants that are stopped for a time.
        indexes = [
            models.Index(fields=[name], name=f"tenant_{name}", condition=models.Q(**{f"{name}__isnull": False}))
            for name in ("paused_until", "draining_until", "suspended_until", "draining_at")
        ]

    @property
    def concurrency_cap(self) -> int:
        """Return the maximum of jobs in flight: the tenant's own number, else its plan's."""
        return self.plan.max_concurrency if self.max_concurrency is None else self.max_concurrency

    @property
    def effective_weight(self) -> Decimal:
        """Return the weight that the scheduler uses: the plan's weight times the tenant's own factor."""
        return self.plan.weight * self.weight_factor
