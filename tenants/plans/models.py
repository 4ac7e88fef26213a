"""Models of tiers, and of plans with their limits and versions."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.database.conf import default_max_concurrency
from tenants.database.ids import uuid7
from tenants.plans.retry_rules import check_retry_rules
from tenants.tenancy.bases import NamedModel
from tenants.versions.models import VersionedModel, VersionFacts


class Tier(NamedModel):
    """A service class that plans belong to, such as sandbox, team or professional."""

    # The slug is the key: rules and settings refer to it, and it does not change.
    slug = models.SlugField(_("slug"), primary_key=True, max_length=50)
    name = models.CharField(_("name"), max_length=100)
    rank = models.PositiveSmallIntegerField(
        _("rank"), unique=True, help_text=_("Greater is better; orders the tiers on screens and in choices.")
    )

    class Meta:
        verbose_name = _("tier")
        verbose_name_plural = _("tiers")
        ordering = ["rank"]


MOST_WEIGHT = 1_000
MOST_CONCURRENCY = 100_000


class Plan(NamedModel, VersionedModel):
    """A plan: the weight and the limits of every tenant that has it.

    Limits that plug-ins declare are `PlanLimit` rows; the others are columns.
    """

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(_("slug"), unique=True, max_length=50)
    name = models.CharField(_("name"), max_length=100)
    tier = models.ForeignKey(Tier, verbose_name=_("tier"), on_delete=models.PROTECT, related_name="plans")
    weight = models.PositiveIntegerField(
        _("weight"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_WEIGHT)],
        help_text=_("Weight against other tenants, 1 to 1,000."),
    )
    max_concurrency = models.PositiveIntegerField(
        _("max concurrency"),
        default=default_max_concurrency,
        validators=[MaxValueValidator(MOST_CONCURRENCY)],
        help_text=_("Jobs of one tenant that may run at once."),
    )
    max_waiting_jobs = models.PositiveIntegerField(
        _("max waiting jobs"), help_text=_("Jobs of one tenant that may wait.")
    )
    submits_per_minute = models.PositiveIntegerField(
        _("submits per minute"), help_text=_("Jobs one tenant may submit in a minute.")
    )
    worker_seconds_per_month = models.PositiveIntegerField(
        _("worker seconds per month"), help_text=_("Seconds of worker time one tenant may use in a month.")
    )
    max_priority = models.PositiveSmallIntegerField(
        _("max priority"), default=10, help_text=_("The highest priority that a tenant may give to its jobs.")
    )
    retry_rules = models.JSONField(
        _("retry rules"),
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        blank=True,
        validators=[check_retry_rules],
        help_text=_("Retry rules by kind, in place of the kind's own."),
    )

    needs_second_factor = models.BooleanField(
        _("second factor required"),
        default=False,
        db_default=False,
        help_text=_("Members of its tenants must have a second factor, whatever their role."),
    )

    class Meta:
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        ordering = ["tier__rank", "slug"]
        constraints = [
            models.CheckConstraint(condition=models.Q(weight__gte=1), name="plan_weight_positive"),
        ]


class PlanLimit(models.Model):
    """A plan's value for a limit that a plug-in declares, such as `document_indexing.files_per_batch`."""

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    plan = models.ForeignKey(
        Plan, verbose_name=_("plan"), on_delete=models.CASCADE, related_name="limits", db_index=False
    )
    key = models.CharField(_("key"), max_length=100)
    value = models.PositiveBigIntegerField(_("value"))

    class Meta:
        verbose_name = _("plan limit")
        verbose_name_plural = _("plan limits")
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["plan", "key"], name="plan_limit_key_unique")]

    def __str__(self) -> str:
        return f"{self.key} = {self.value}"


class PlanVersion(VersionFacts):
    """One version of a plan, including its limits."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions", db_index=False)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["plan", "number"], name="plan_version_number")]
        indexes = [
            models.Index(fields=["effective_from"], condition=models.Q(outcome="waiting"), name="plan_version_waiting")
        ]
