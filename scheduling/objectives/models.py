"""Rows of objectives: what is promised, the states that excuse late jobs, and the jobs counted by minute and hour."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import NamedModel, OptionalTenantModel, TenantManager

# Bounds of the histogram of waits, so that counts are exact; states that excuse are known by the minute.
TARGET_SECONDS = [
    (60, _("1 minute")),
    (120, _("2 minutes")),
    (300, _("5 minutes")),
    (900, _("15 minutes")),
    (3_600, _("1 hour")),
    (14_400, _("4 hours")),
    (86_400, _("1 day")),
]


class Objective(NamedModel, OptionalTenantModel):
    """The share of jobs that is to start within a time after they could run.

    It covers the jobs of its tenant or, without one, of a tier or a kind; both a kind and a tenant or tier narrow it.
    """

    name = models.CharField(_("name"), max_length=100)
    tier = models.ForeignKey(
        "tenants.Tier",
        models.CASCADE,
        verbose_name=_("tier"),
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
        help_text=_("Jobs of tenants of this tier; empty: of every tier."),
    )
    kind = models.CharField(_("kind"), max_length=64, blank=True, help_text=_("Empty: every kind."))
    target_share = models.FloatField(
        _("share"),
        default=0.95,
        validators=[MinValueValidator(0.5), MaxValueValidator(0.9999)],
        help_text=_("Share of the jobs that must start in time, such as 0.95."),
    )
    target_seconds = models.PositiveIntegerField(_("start within"), choices=TARGET_SECONDS, default=60)
    window_days = models.PositiveSmallIntegerField(
        _("days"), choices=[(7, _("7 days")), (28, _("28 days"))], default=28, help_text=_("The time of its budget.")
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        db_table = "scheduling_objective"
        verbose_name = _("objective")
        verbose_name_plural = _("objectives")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], nulls_distinct=False, name="objective_name"),
            models.CheckConstraint(
                condition=Q(tenant__isnull=False, tier=None) | (Q(tenant=None) & (Q(tier__isnull=False) | ~Q(kind=""))),
                name="objective_covers_something",
            ),
        ]


class StateMinute(models.Model):
    """What kept waiting jobs of a tenant in a queue from slots in one minute, as bits in the order of `Excuse`."""

    pk = models.CompositePrimaryKey("tenant_id", "queue_id", "minute")
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    queue = models.ForeignKey("scheduling.Queue", models.DO_NOTHING, db_index=False, db_constraint=False)
    minute = models.DateTimeField()
    states = models.SmallIntegerField()

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_state_minute"
        indexes = [models.Index(fields=["minute"], name="state_minute_by_time")]


class ExcusedMinute(models.Model):
    """Waits of jobs of one kind that ended in one minute, and during which a state of their tenant excused them."""

    pk = models.CompositePrimaryKey("tenant_id", "minute", "kind", "queue_id", "excuse")
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    minute = models.DateTimeField()
    kind = models.CharField(max_length=64)
    queue = models.ForeignKey("scheduling.Queue", models.DO_NOTHING, db_index=False, db_constraint=False)
    excuse = models.CharField(max_length=12)
    wait = ArrayField(models.IntegerField())

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_excused_minute"
        indexes = [models.Index(fields=["minute"], name="excused_minute_by_time")]


class CountRow(models.Model):
    """Base of the counts of an objective; a late job that is excused counts only there."""

    objective = models.ForeignKey(Objective, models.DO_NOTHING, db_index=False, db_constraint=False, related_name="+")
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, null=True, db_index=False, db_constraint=False)
    good = models.BigIntegerField()
    late = models.BigIntegerField()
    excused = models.JSONField(default=dict, help_text="Numbers by reason.")

    objects = TenantManager()

    class Meta:
        abstract = True


class ObjectiveMinute(CountRow):
    """Jobs of an objective whose first executions ended in one minute."""

    pk = models.CompositePrimaryKey("objective_id", "minute")
    minute = models.DateTimeField()

    class Meta:
        db_table = "scheduling_objective_minute"
        indexes = [models.Index(fields=["minute"], name="objective_minute_by_time")]


class ObjectiveHour(CountRow):
    """Jobs of an objective whose first executions ended in one hour."""

    pk = models.CompositePrimaryKey("objective_id", "hour")
    hour = models.DateTimeField()

    class Meta:
        db_table = "scheduling_objective_hour"
        indexes = [models.Index(fields=["hour"], name="objective_hour_by_time")]
