"""Rows of anomalies: summaries of series by the hour, what is usual for them, and deviations."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from scheduling.anomalies.detector import Measure
from scheduling.statistics.models import SeriesHour
from tenants.tenancy.bases import TenantManager

MEASURES = {
    Measure.RATE.value: _("runs ended a minute"),
    Measure.WAIT.value: _("wait, 95th percentile"),
    Measure.RUN.value: _("run time, 80th percentile"),
    Measure.FAILURES.value: _("failure rate"),
    Measure.RESULT.value: _("result size, mean"),
}
SCOPES = {
    SeriesHour.Scope.KIND.value: _("job kind"),
    SeriesHour.Scope.QUEUE.value: _("queue"),
    SeriesHour.Scope.TENANT.value: _("tenant"),
}


class SeriesRow(models.Model):
    """Base of rows about one series: a kind or queue of all tenants, a tenant, or a kind of one tenant.

    The name of a tenant is its id.
    """

    id = models.BigAutoField(primary_key=True)
    scope = models.CharField(max_length=8, choices=SCOPES)
    tenant = models.ForeignKey(
        "tenants.Tenant", models.DO_NOTHING, null=True, db_index=False, db_constraint=False, related_name="+"
    )
    name = models.CharField(max_length=64)

    objects = TenantManager()

    class Meta:
        abstract = True

    @property
    def series(self) -> str:
        return f"{self.scope}:{self.name}"


class SeriesSummary(SeriesRow):
    """One hour of a series: for each measure the numbers of `scheduling.anomalies.detector.Hour`."""

    hour = models.DateTimeField()
    numbers = models.JSONField()

    class Meta:
        db_table = "scheduling_series_summary"
        indexes = [models.Index(fields=["hour"], name="series_summary_by_time")]
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "tenant", "name", "hour"], nulls_distinct=False, name="series_summary_once"
            )
        ]


class SeriesBaseline(SeriesRow):
    """What is usual for one measure of a series, as `scheduling.anomalies.detector.Learned`."""

    measure = models.CharField(max_length=8, choices=MEASURES)
    ranges = ArrayField(
        ArrayField(models.FloatField(), size=4), help_text="For each hour of the week from Monday on, or one for all."
    )
    below = models.FloatField(help_text="Spreads below the range from which a value deviates.")
    above = models.FloatField()
    hours = models.IntegerField(help_text="Hours of history that it was learned from.")
    learned_at = models.DateTimeField()

    class Meta:
        db_table = "scheduling_series_baseline"
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "tenant", "name", "measure"], nulls_distinct=False, name="series_baseline_once"
            )
        ]


class Anomaly(SeriesRow):
    """A deviation of one measure of a series, or a lasting change of its level."""

    measure = models.CharField(max_length=8, choices=MEASURES)
    is_change = models.BooleanField(default=False, help_text="Whether the level has changed for hours.")
    value = models.FloatField(help_text="The worst value.")
    low = models.FloatField(help_text="The usual range at that time.")
    high = models.FloatField()
    score = models.FloatField(help_text="1 is the least deviation; negative below the usual range.")
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When it last deviated.")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "scheduling_anomaly"
        indexes = [
            models.Index(fields=["tenant", "-id"], name="anomaly_of_tenant"),
            models.Index(fields=["seen_at"], name="anomaly_by_time"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "tenant", "name", "measure", "is_change"],
                condition=models.Q(ended_at=None),
                nulls_distinct=False,
                name="anomaly_open_once",
            )
        ]
