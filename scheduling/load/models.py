"""Table of the load states."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from scheduling.load.rules import LABELS, SIGNALS, Level

PLATFORM = "platform"
POOL = "pool:"
# A state that no dispatcher has measured for this time is not known any more.
KNOWN_FOR = timedelta(seconds=30)
CHOICES = [(level.value, label) for level, label in LABELS.items()]


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
