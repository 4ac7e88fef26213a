"""Table of the rules that move jobs within their tenant's line under load."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from scheduling.load.models import CHOICES
from scheduling.load.rules import Level
from scheduling.priority_rules.rules import MOST_SECONDS
from tenants.database.ids import uuid7
from tenants.tenancy.bases import NamedModel


class PriorityRule(NamedModel):
    """From a load state on, moves the jobs that it covers within their tenant's line; all rules together count."""

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"), max_length=100)
    position = models.PositiveSmallIntegerField(_("position"), help_text=_("Rules are listed in this order."))
    from_level = models.PositiveSmallIntegerField(
        _("from"),
        choices=CHOICES[1:],
        default=Level.BUSY.value,
        help_text=_("The load state that it needs."),
    )
    kind = models.CharField(
        _("kind"), max_length=64, blank=True, help_text=_("Empty: every kind whose failure share is greater.")
    )
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
    failure_percent = models.PositiveSmallIntegerField(
        _("failures above"),
        default=0,
        validators=[MaxValueValidator(99)],
        help_text=_("Percent of the tenant's jobs of the kind that failed in ten minutes; 0: whatever fails."),
    )
    offset_seconds = models.SmallIntegerField(
        _("offset"),
        validators=[MinValueValidator(-MOST_SECONDS), MaxValueValidator(MOST_SECONDS)],
        help_text=_("Seconds: jobs are placed as if they had come so much earlier; negative: later."),
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)

    class Meta:
        db_table = "scheduling_priority_rule"
        verbose_name = _("priority rule")
        verbose_name_plural = _("priority rules")
        constraints = [models.UniqueConstraint(fields=["position"], name="priority_rule_position")]

    def __str__(self) -> str:
        return self.name
