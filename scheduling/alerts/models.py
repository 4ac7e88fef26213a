"""Alert rules, the alerts that they raise, and the measured values that they compare."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from scheduling.alerts.contact_models import ActiveHoursModel, Severity
from scheduling.alerts.rules import Comparison, Per
from tenants.tenancy.bases import NamedModel, OptionalTenantModel, TenantManager

MAX_FOR_SECONDS = 86_400


COMPARISONS = [
    (Comparison.GE.value, _("at least")),
    (Comparison.GT.value, _("above")),
    (Comparison.LE.value, _("at most")),
    (Comparison.LT.value, _("below")),
]
PERS = [
    (Per.KIND.value, _("job kind")),
    (Per.QUEUE.value, _("queue")),
    (Per.POOL.value, _("pool")),
    (Per.TENANT.value, _("tenant")),
    (Per.CAUSE.value, _("cause of failures")),
    (Per.TASK.value, _("upkeep task")),
    (Per.CHECK.value, _("check")),
    (Per.INCIDENT.value, _("incident")),
    (Per.OBJECTIVE.value, _("objective")),
    (Per.SERIES.value, _("series")),
    (Per.QUERY.value, _("saved log query")),
]


class AlertRule(NamedModel, ActiveHoursModel, OptionalTenantModel):
    """A condition: a measure of each object of a type compared with a threshold for some time.

    A tenant's rule applies to the tenant's own objects; one of the platform to those of all.
    """

    name = models.CharField(_("name"), max_length=100)
    origin = models.CharField(
        _("shipped as"), max_length=40, blank=True, editable=False, help_text=_("Empty: own rule.")
    )
    measure = models.CharField(_("measure"), max_length=40)
    per = models.CharField(_("per"), max_length=12, choices=PERS, help_text=_("The object that each alert is about."))
    only_kind = models.CharField(_("only kind"), max_length=64, blank=True, help_text=_("Empty: every kind."))
    only_queue = models.CharField(_("only queue"), max_length=60, blank=True, help_text=_("Empty: every queue."))
    only_tenant = models.UUIDField(_("only tenant"), null=True, blank=True, help_text=_("Its id; empty: every tenant."))
    log_query = models.CharField(
        _("log query"),
        max_length=500,
        blank=True,
        help_text=_("A search as on the Logs page, for the measure of matching log lines."),
    )
    comparison = models.CharField(_("comparison"), max_length=2, choices=COMPARISONS, default=Comparison.GE.value)
    threshold = models.FloatField(_("threshold"))
    clear_threshold = models.FloatField(
        _("clears at"), null=True, blank=True, help_text=_("Value beyond which it clears; empty: the threshold.")
    )
    for_seconds = models.PositiveIntegerField(
        _("for seconds"), default=0, validators=[MaxValueValidator(MAX_FOR_SECONDS)]
    )
    clear_seconds = models.PositiveIntegerField(
        _("clear for seconds"),
        default=60,
        validators=[MaxValueValidator(MAX_FOR_SECONDS)],
        help_text=_("It resolves after the value has been clear for this time."),
    )
    severity = models.CharField(_("severity"), max_length=8, choices=Severity.choices, default=Severity.WARNING)
    escalate_minutes = models.PositiveIntegerField(
        _("escalates after minutes"), null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(1_440)]
    )
    escalate_to = models.ForeignKey(
        "scheduling.ContactGroup",
        models.SET_NULL,
        verbose_name=_("escalate to"),
        null=True,
        blank=True,
        related_name="+",
    )
    notifies_tenant = models.BooleanField(
        _("notifies the tenant"), default=False, help_text=_("The tenant that an alert is about is notified too.")
    )
    inhibits = ArrayField(
        models.SlugField(max_length=40),
        verbose_name=_("inhibits"),
        default=list,
        blank=True,
        help_text=_("Measures whose alerts of the same object do not notify while it fires."),
    )
    runbook = models.CharField(_("runbook"), max_length=80, blank=True, help_text=_("Its section in docs/alerting.md."))
    is_enabled = models.BooleanField(_("enabled"), default=True)
    changed_at = models.DateTimeField(_("changed at"), db_default=Now(), editable=False)
    backtest = models.JSONField(_("backtest"), null=True, blank=True, editable=False)

    class Meta:
        db_table = "scheduling_alert_rule"
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="alert_rule_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], nulls_distinct=False, name="alert_rule_name"),
        ]
        indexes = [models.Index(fields=["measure"], condition=Q(is_enabled=True), name="alert_rule_enabled")]


class Alert(OptionalTenantModel):
    """The state of a rule for one object. At most one alert for a rule and an object is open.

    ``tenant`` owns it, as it owns the rule; ``about_tenant`` is the tenant that the object belongs to.
    ``held_seconds`` is the time for which a pending alert's value has been beyond the threshold, then the time for
    which it fires: the sum of intervals between evaluations, which a step of a clock does not change.
    ``revision`` counts the transitions that contacts are notified of.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("pending")
        FIRING = "firing", _("firing")
        RESOLVED = "resolved", _("resolved")

    class Outcome(models.TextChoices):
        HELPED = "helped", _("the remedy helped")
        FALSE = "false", _("false alarm")

    rule = models.ForeignKey(
        AlertRule, models.SET_NULL, verbose_name=_("rule"), null=True, db_index=False, related_name="alerts"
    )
    rule_name = models.CharField(_("rule"), max_length=100)
    severity = models.CharField(_("severity"), max_length=8, choices=Severity.choices)
    object_key = models.CharField(_("object"), max_length=200, help_text=_("Such as queue:pipeline."))
    object = models.JSONField(_("object"), default=dict)
    about_tenant = models.UUIDField(_("about tenant"), null=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices)
    value = models.FloatField(_("value"))
    peak = models.FloatField(_("peak"))
    threshold = models.FloatField(_("threshold"))
    held_seconds = models.FloatField(_("held seconds"), default=0)
    clear_held_seconds = models.FloatField(_("clear for seconds"), default=0)
    pending_at = models.DateTimeField(_("since"))
    fired_at = models.DateTimeField(_("fired at"), null=True)
    changed_at = models.DateTimeField(_("changed at"))
    resolved_at = models.DateTimeField(_("resolved at"), null=True)
    evaluated_at = models.DateTimeField(_("evaluated at"))
    revision = models.PositiveIntegerField(_("revision"), default=0)
    acknowledged_by = models.CharField(_("acknowledged by"), max_length=200, blank=True)
    acknowledged_at = models.DateTimeField(_("acknowledged at"), null=True)
    note = models.TextField(_("note"), blank=True)
    escalated_at = models.DateTimeField(_("escalated at"), null=True)
    silence = models.ForeignKey(
        "scheduling.AlertSilence", models.SET_NULL, verbose_name=_("silence"), null=True, related_name="+"
    )
    inhibited_by = models.UUIDField(_("inhibited by"), null=True, help_text=_("The alert that explains it."))
    tenants = models.JSONField(_("tenants affected"), default=list)
    tenants_count = models.PositiveIntegerField(_("number of tenants affected"), default=0)
    facts = models.JSONField(_("facts"), default=dict)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome.choices, blank=True)
    outcome_note = models.CharField(_("note on the outcome"), max_length=500, blank=True)

    class Meta:
        db_table = "scheduling_alert"
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="alert_tenant_id"),
            models.UniqueConstraint(
                fields=["rule", "object_key"], condition=~Q(state="resolved"), name="alert_open_of_object"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "state", "-id"], name="alert_of_tenant"),
            models.Index(fields=["-id"], condition=~Q(state="resolved"), name="alert_open"),
            models.Index(fields=["rule", "object_key", "-id"], name="alert_of_object"),
            models.Index(fields=["about_tenant", "-id"], name="alert_about_tenant"),
            models.Index(fields=["resolved_at"], condition=Q(state="resolved"), name="alert_resolved"),
        ]

    def __str__(self) -> str:
        return f"{self.rule_name}: {self.label}"

    @property
    def label(self) -> str:
        """Return the object's name."""
        return str(self.object.get("label") or self.object_key.partition(":")[2])


class MeasureMinute(models.Model):
    """The worst value of a measure for one object in one minute; objects within the measure's floor have no row."""

    pk = models.CompositePrimaryKey("measure", "minute", "object_key")
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, null=True, db_index=False, db_constraint=False)
    measure = models.CharField(max_length=40)
    minute = models.DateTimeField()
    object_key = models.CharField(max_length=200)
    label = models.CharField(max_length=100)
    parents = ArrayField(models.CharField(max_length=200), default=list)
    worst = models.FloatField()
    last = models.FloatField()

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_measure_minute"
        indexes = [
            models.Index(fields=["minute"], name="measure_minute_by_time"),
            models.Index(fields=["measure", "object_key", "minute"], name="measure_minute_of_object"),
            models.Index(fields=["tenant", "measure", "minute"], name="measure_minute_of_tenant"),
        ]


class AlertCause(models.Model):
    """The first occurrence of a cause of a tenant's failures; pruned after 30 days without one, it is new again."""

    pk = models.CompositePrimaryKey("tenant_id", "fingerprint")
    tenant = models.ForeignKey("tenants.Tenant", models.PROTECT, db_index=False, related_name="+")
    fingerprint = models.CharField(max_length=16)
    kind = models.CharField(max_length=64)
    message = models.CharField(max_length=200)
    job_id = models.UUIDField(help_text="The first failed job.")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.BigIntegerField()

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_alert_cause"
        indexes = [
            models.Index(fields=["first_at"], name="alert_cause_first"),
            models.Index(fields=["last_at"], name="alert_cause_last"),
        ]


class PlatformIncident(models.Model):
    """How often something happened to the platform in one minute that it absorbs, such as a rescue."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=40)
    detail = models.CharField(max_length=100, blank=True)
    minute = models.DateTimeField()
    count = models.IntegerField()

    class Meta:
        db_table = "scheduling_platform_incident"
        constraints = [models.UniqueConstraint(fields=["name", "detail", "minute"], name="platform_incident_minute")]
        indexes = [models.Index(fields=["minute"], name="platform_incident_by_time")]


class AlertClock(models.Model):
    """When the rules were last evaluated, and by which dispatcher; a table of one row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    evaluated_at = models.DateTimeField(null=True)
    evaluated_by = models.UUIDField(null=True)
    settling_until = models.DateTimeField(null=True, help_text="Until then measures of heartbeats are not read.")
    frozen_until = models.DateTimeField(null=True, help_text="Until then no alert changes: a clock was set.")
    cause_id = models.UUIDField(null=True, help_text="The last error that was counted by its cause.")
    beaten_at = models.DateTimeField(null=True, help_text="The last heartbeat to the outside.")

    class Meta:
        db_table = "scheduling_alert_clock"
