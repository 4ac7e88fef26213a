"""What a tenant has bought: its weight and its limits."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from tenants.conf import default_max_concurrency
from tenants.ids import uuid7
from tenants.models.names import NamedModel
from tenants.models.tier import Tier
from tenants.retry_rules import check_retry_rules
from tenants.versions.models import VersionedModel, VersionFacts

MOST_WEIGHT = 1_000
MOST_CONCURRENCY = 100_000


class Plan(NamedModel, VersionedModel):
    """Weight and limits that every tenant on the plan has; limits that a plug-in declares are `PlanLimit` rows."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True, max_length=50)
    name = models.CharField(max_length=100)
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="plans")
    weight = models.PositiveIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_WEIGHT)],
        help_text=f"Share of the workers against other tenants, 1 to {MOST_WEIGHT:,}.",
    )
    max_concurrency = models.PositiveIntegerField(
        default=default_max_concurrency,
        validators=[MaxValueValidator(MOST_CONCURRENCY)],
        help_text="Jobs of one tenant in flight at once.",
    )
    max_waiting_jobs = models.PositiveIntegerField(help_text="Jobs of one tenant that may wait.")
    submits_per_minute = models.PositiveIntegerField(help_text="Jobs one tenant may submit in a minute.")
    worker_seconds_per_month = models.PositiveIntegerField(
        help_text="Seconds of worker time one tenant may use in a month."
    )
    max_priority = models.PositiveSmallIntegerField(
        default=10, help_text="The highest priority a tenant may give to a job among its own."
    )
    retry_rules = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        blank=True,
        validators=[check_retry_rules],
        help_text="How often and when jobs of a kind are tried again, where that is not the kind's own affair.",
    )

    class Meta:
        ordering = ["tier__rank", "slug"]
        constraints = [
            models.CheckConstraint(condition=models.Q(weight__gte=1), name="plan_weight_positive"),
        ]

    def __str__(self) -> str:
        return self.name


class PlanLimit(models.Model):
    """A limit that a plug-in declares, such as `document_indexing.files_per_batch`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="limits", db_index=False)
    key = models.CharField(max_length=100)
    value = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["plan", "key"], name="plan_limit_key_unique")]

    def __str__(self) -> str:
        return f"{self.key} = {self.value}"


class PlanVersion(VersionFacts):
    """A plan with its limits, as it was or will be."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions", db_index=False)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["plan", "number"], name="plan_version_number")]
        indexes = [
            models.Index(fields=["effective_from"], condition=models.Q(outcome="waiting"), name="plan_version_waiting")
        ]
