"""Models of limits: a tenant's overrides, usage counters and warnings."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import TenantManager, TenantModel


class TenantLimit(TenantModel):
    """An override of one limit for one tenant. It applies in place of the plan's value until it expires."""

    key = models.CharField(_("key"), max_length=100)
    value = models.PositiveBigIntegerField(_("value"), help_text=_("In the limit's own unit."))
    reason = models.CharField(_("reason"), max_length=500)
    expires_at = models.DateTimeField(
        _("expires at"), null=True, blank=True, help_text=_("The plan's limit applies again from this time on.")
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("tenant limit")
        verbose_name_plural = _("tenant limits")
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["tenant", "key"], name="tenant_limit_key_unique")]
        indexes = [
            # Shows whether any tenant has an override of a limit.
            models.Index(fields=["key"], name="tenant_limit_by_key"),
            models.Index(
                fields=["expires_at"], condition=models.Q(expires_at__isnull=False), name="tenant_limit_expires"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} = {self.value}"


class TenantUsage(models.Model):
    """A usage counter of one tenant: of a calendar month, or of the current state.

    `period` is the first day of the month in UTC, or 1970-01-01 for the current state. The counter is written in the
    same transaction as the rows that it counts; a consistency check recounts it.
    """

    pk = models.CompositePrimaryKey("tenant_id", "key", "period")
    tenant = models.ForeignKey("tenants.Tenant", models.PROTECT, db_index=False, related_name="+")
    key = models.CharField(max_length=100)
    period = models.DateField()
    amount = models.BigIntegerField(default=0)

    objects = TenantManager()

    def __str__(self) -> str:
        return f"{self.key} {self.period}: {self.amount}"


class LimitWarning(models.Model):
    """A warning that a tenant has used this percentage of a limit this month.

    There is at most one for each percentage.
    """

    pk = models.CompositePrimaryKey("tenant_id", "key", "period", "percent")
    tenant = models.ForeignKey("tenants.Tenant", models.PROTECT, db_index=False, related_name="+")
    key = models.CharField(max_length=100)
    period = models.DateField()
    percent = models.PositiveSmallIntegerField()
    used = models.BigIntegerField(help_text="In the counter's unit.")
    allowed = models.BigIntegerField(help_text="In the limit's own unit.")
    at = models.DateTimeField(db_default=Now())
    is_released = models.BooleanField(db_default=False, help_text="The period is over and the tenant's jobs run again.")

    objects = TenantManager()

    class Meta:
        indexes = [
            models.Index(
                fields=["period"], condition=models.Q(percent=100, is_released=False), name="limit_warning_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.percent} %"
