"""Table of the load states."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from scheduling.load.rules import LABELS, SIGNALS, Level
from tenants.database.ids import uuid7
from tenants.tenancy.bases import NamedModel

PLATFORM = "platform"
POOL = "pool:"
# A state that no dispatcher has measured for this time is not known any more.
KNOWN_FOR = timedelta(seconds=30)
CHOICES = [(level.value, label) for level, label in LABELS.items()]


class Action(models.TextChoices):
    """What a shedding rule does with new jobs, or with a feature."""

    REFUSE = "refuse", _("refuse: 503 with Retry-After")
    DELAY = "delay", _("delay: accept for later")
    OFF = "off", _("switch a feature off")
    ESSENTIAL = "essential", _("essential: accept always")


class Feature(models.TextChoices):
    """A feature that may be switched off under load."""

    WHAT_IF = "what_if", _("what-if")
    EXACT_COUNTS = "exact_counts", _("counts of lists")
    EXPORTS = "exports", _("exports")
    PREVIEWS = "previews", _("search")
    STREAMS = "streams", _("event streams")


class SheddingRule(NamedModel):
    """What the platform does without from a load state on; the first rule that matches a new job decides."""

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"), max_length=100)
    position = models.PositiveSmallIntegerField(_("position"), help_text=_("Rules are read in this order."))
    from_level = models.PositiveSmallIntegerField(
        _("from"),
        choices=CHOICES[1:],
        default=Level.OVERLOADED.value,
        help_text=_("The load state that it needs."),
    )
    action = models.CharField(_("action"), max_length=9, choices=Action.choices)
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
    feature = models.CharField(
        _("feature"), max_length=20, choices=Feature.choices, blank=True, help_text=_("For the action “off”.")
    )
    delay_seconds = models.PositiveIntegerField(
        _("delay"), default=0, validators=[MaxValueValidator(3_600)], help_text=_("Seconds, for the action “delay”.")
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)

    class Meta:
        db_table = "scheduling_shedding_rule"
        verbose_name = _("shedding rule")
        verbose_name_plural = _("shedding rules")
        constraints = [models.UniqueConstraint(fields=["position"], name="shedding_position")]

    def __str__(self) -> str:
        return self.name


class LoadState(models.Model):
    """Measured load state of the platform or of a pool, and the state that an operator has forced for a time."""

    scope = models.CharField(_("scope"), max_length=60, primary_key=True, help_text=_("platform, or pool:NAME"))
    level = models.SmallIntegerField(_("measured state"), choices=CHOICES, default=0)
    since = models.DateTimeField(_("since"))
    signals = models.JSONField(_("measured values"), default=dict)
    rising_to = models.SmallIntegerField(_("rising to"), default=0)
    rising_seconds = models.FloatField(_("rising for"), default=0.0)
    falling_seconds = models.FloatField(_("falling for"), default=0.0)
    measured_at = models.DateTimeField(_("measured at"))
    admitted = models.JSONField(
        _("admitted"),
        default=dict,
        help_text=_("Percent of new jobs that are accepted, by tier."),
    )
    forced_level = models.SmallIntegerField(_("forced state"), choices=CHOICES, null=True)
    forced_until = models.DateTimeField(_("forced until"), null=True)
    forced_reason = models.CharField(_("reason"), max_length=200, blank=True)
    forced_by = models.CharField(_("forced by"), max_length=200, blank=True)

    class Meta:
        db_table = "scheduling_load_state"
        verbose_name = _("load state")
        verbose_name_plural = _("load states")

    def __str__(self) -> str:
        return str(_("Platform")) if self.scope == PLATFORM else self.scope.removeprefix(POOL)

    def applying(self, now: datetime) -> Level:
        """Return the state that applies: the forced one until its end, else the measured one, else normal."""
        if self.forced_level is not None and self.forced_until is not None and now < self.forced_until:
            return Level(self.forced_level)
        return Level(self.level) if now - self.measured_at < KNOWN_FOR else Level.NORMAL

    @property
    def reasons(self) -> dict[str, float]:
        """Return the values that stand for a state above normal, the worst first."""
        levels = {name: SIGNALS[name].level_of(value) for name, value in self.signals.items() if name in SIGNALS}
        worst = sorted((name for name, level in levels.items() if level), key=lambda name: -levels[name])
        return {name: self.signals[name] for name in worst}
