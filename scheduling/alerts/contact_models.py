"""Contacts, routes and owners of alerts, silences, and the messages to be delivered."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import NamedModel, OptionalTenantModel

MAX_ERROR = 500


class Severity(models.TextChoices):
    """How urgent an alert is, in increasing order."""

    INFO = "info", _("info")
    WARNING = "warning", _("warning")
    CRITICAL = "critical", _("critical")


class Channel(models.TextChoices):
    """How a contact receives messages."""

    MAIL = "mail", _("mail")
    ROLE = "role", _("mail to a role")
    SLACK = "slack", _("Slack")
    TEAMS = "teams", _("Microsoft Teams")
    PAGERDUTY = "pagerduty", _("PagerDuty")
    OPSGENIE = "opsgenie", _("Opsgenie")
    WEBHOOK = "webhook", _("signed webhook")


class ActiveHoursModel(models.Model):
    """Base of rows that apply at some days and hours only."""

    active_days = ArrayField(
        models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(7)]),
        verbose_name=_("days"),
        default=list,
        blank=True,
        help_text=_("1 is Monday; empty: every day."),
    )
    active_from = models.TimeField(_("from"), null=True, blank=True)
    active_until = models.TimeField(_("until"), null=True, blank=True)
    zone = models.CharField(_("time zone"), max_length=64, default="UTC", db_default="UTC")

    class Meta:
        abstract = True


class ContactGroup(NamedModel, OptionalTenantModel):
    """A group of contacts that are notified together: a team, a duty rota of another product, the platform's admins."""

    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=500, blank=True)
    is_default = models.BooleanField(
        _("default"), default=False, help_text=_("Receives the alerts that no owner and no route takes.")
    )

    class Meta:
        db_table = "scheduling_contact_group"
        verbose_name = _("contact group")
        verbose_name_plural = _("contact groups")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="contact_group_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], nulls_distinct=False, name="contact_group_name"),
            models.UniqueConstraint(
                fields=["tenant"], condition=Q(is_default=True), nulls_distinct=False, name="contact_group_default"
            ),
        ]


class Contact(OptionalTenantModel):
    """An address of a group. Its target (URL, key or mail addresses) is stored encrypted."""

    group = models.ForeignKey(
        ContactGroup, models.CASCADE, verbose_name=_("group"), db_index=False, related_name="contacts"
    )
    channel = models.CharField(_("channel"), max_length=10, choices=Channel.choices)
    label = models.CharField(
        _("label"), max_length=60, blank=True, help_text=_("What is shown of the target: its host and last characters.")
    )
    sealed_target = models.TextField(_("sealed target"), blank=True, editable=False)
    sealed_secret = models.TextField(_("sealed secret"), blank=True, editable=False)
    roles = ArrayField(
        models.CharField(max_length=20),
        verbose_name=_("roles"),
        default=list,
        blank=True,
        help_text=_("Holders of these roles, of the tenant or of the platform, receive the mail."),
    )
    min_severity = models.CharField(
        _("minimum severity"), max_length=8, choices=Severity.choices, default=Severity.INFO, db_default=Severity.INFO
    )
    per_hour = models.PositiveSmallIntegerField(
        _("messages per hour"),
        default=20,
        db_default=20,
        validators=[MinValueValidator(1), MaxValueValidator(1_000)],
        help_text=_("Alerts beyond it wait for a digest at the full hour."),
    )
    is_enabled = models.BooleanField(_("enabled"), default=True, db_default=True)
    failures = models.PositiveSmallIntegerField(
        _("failures"), default=0, db_default=0, editable=False, help_text=_("Messages in a row that failed.")
    )
    disabled_reason = models.CharField(_("disabled because"), max_length=MAX_ERROR, blank=True, editable=False)

    class Meta:
        db_table = "scheduling_contact"
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="contact_tenant_id"),
            models.UniqueConstraint(fields=["group", "label"], name="contact_label"),
        ]

    def __str__(self) -> str:
        return self.label


class AlertRoute(ActiveHoursModel, OptionalTenantModel):
    """A rule that sends alerts without an owner to a group; of those that match, the lowest position applies."""

    position = models.PositiveIntegerField(_("position"))
    measure = models.CharField(_("measure"), max_length=40, blank=True, help_text=_("Empty for every measure."))
    min_severity = models.CharField(
        _("minimum severity"), max_length=8, choices=Severity.choices, default=Severity.INFO, db_default=Severity.INFO
    )
    only_tenant = models.UUIDField(_("tenant"), null=True, blank=True, help_text=_("Empty for every tenant."))
    group = models.ForeignKey(ContactGroup, models.CASCADE, verbose_name=_("group"), related_name="+")

    class Meta:
        db_table = "scheduling_alert_route"
        verbose_name = _("alert route")
        verbose_name_plural = _("alert routes")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "position"], nulls_distinct=False, name="alert_route_position")
        ]

    def __str__(self) -> str:
        return f"{self.position} → {self.group}"


class AlertOwner(OptionalTenantModel):
    """The group that owns a queue, a kind or a template: alerts about it go there first."""

    class Target(models.TextChoices):
        QUEUE = "queue", _("queue")
        KIND = "kind", _("kind")
        TEMPLATE = "template", _("template")

    target = models.CharField(_("type"), max_length=8, choices=Target.choices)
    name = models.CharField(_("name"), max_length=200)
    group = models.ForeignKey(ContactGroup, models.CASCADE, verbose_name=_("group"), related_name="+")

    class Meta:
        db_table = "scheduling_alert_owner"
        verbose_name = _("owner")
        verbose_name_plural = _("owners")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "target", "name"], nulls_distinct=False, name="alert_owner_name")
        ]

    def __str__(self) -> str:
        return f"{self.target} {self.name} → {self.group}"


class AlertSilence(OptionalTenantModel):
    """A time in which matching alerts are shown but send no notifications. Empty conditions match every alert."""

    rule = models.ForeignKey(
        "scheduling.AlertRule", models.CASCADE, verbose_name=_("rule"), null=True, blank=True, related_name="+"
    )
    object_key = models.CharField(_("object"), max_length=200, blank=True)
    only_kind = models.CharField(_("kind"), max_length=64, blank=True)
    only_queue = models.CharField(_("queue"), max_length=60, blank=True)
    only_tenant = models.UUIDField(_("tenant"), null=True, blank=True)
    starts_at = models.DateTimeField(_("from"), default=timezone.now)
    ends_at = models.DateTimeField(_("until"), help_text=_("At most 30 days."))
    reason = models.CharField(_("reason"), max_length=500)
    is_maintenance = models.BooleanField(
        _("maintenance"),
        default=False,
        help_text=_("Objectives leave out late jobs of this time, and count them separately."),
    )
    created_by = models.CharField(_("created by"), max_length=200, editable=False)
    ended_by = models.CharField(_("ended by"), max_length=200, blank=True, editable=False)

    class Meta:
        db_table = "scheduling_alert_silence"
        verbose_name = _("silence")
        verbose_name_plural = _("silences")
        constraints = [models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="alert_silence_time")]
        indexes = [models.Index(fields=["ends_at"], name="alert_silence_end")]

    def __str__(self) -> str:
        return self.reason


class AlertMessage(OptionalTenantModel):
    """A message to one contact. A job delivers it or, if none claims it in time, the sender of a dispatcher.

    The body is frozen, so that it is the same bytes at each attempt. The process that sets `claim` sends. A
    notice without a contact is mailed to the addresses in its body.
    """

    class What(models.TextChoices):
        ALERTS = "alerts", _("alerts")
        DIGEST = "digest", _("digest")
        TEST = "test", _("test")
        NOTICE = "notice", _("notice")

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        SENDING = "sending", _("being sent")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed")

    contact = models.ForeignKey(
        Contact, models.CASCADE, verbose_name=_("contact"), null=True, db_index=False, related_name="messages"
    )
    what = models.CharField(_("what"), max_length=10, choices=What.choices)
    body = models.JSONField(_("body"))
    state = models.CharField(
        _("state"), max_length=8, choices=State.choices, default=State.QUEUED, db_default=State.QUEUED
    )
    due_at = models.DateTimeField(_("due at"), db_default=Now())
    claim = models.UUIDField(_("claim"), null=True, editable=False)
    claimed_at = models.DateTimeField(_("claimed at"), null=True)
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=0, db_default=0)
    job_id = models.UUIDField(_("job id"), null=True)
    sent_at = models.DateTimeField(_("sent at"), null=True)
    status = models.PositiveSmallIntegerField(_("status"), null=True)
    error = models.CharField(_("error"), max_length=MAX_ERROR, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        db_table = "scheduling_alert_message"
        verbose_name = _("alert message")
        verbose_name_plural = _("alert messages")
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state__in=["queued", "sending"]), name="alert_message_due"),
            models.Index(fields=["contact", "-id"], name="alert_message_of_contact"),
            models.Index(fields=["tenant", "-id"], name="alert_message_of_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.what}: {self.state}"


class AlertNotice(OptionalTenantModel):
    """Notice of one transition of an alert to one contact; several notices become one message."""

    class What(models.TextChoices):
        FIRED = "fired", _("fired")
        RESOLVED = "resolved", _("resolved")
        ESCALATED = "escalated", _("escalated")

    alert = models.ForeignKey(
        "scheduling.Alert", models.CASCADE, verbose_name=_("alert"), db_index=False, related_name="notices"
    )
    revision = models.IntegerField(_("revision"))
    contact = models.ForeignKey(Contact, models.CASCADE, verbose_name=_("contact"), db_index=False, related_name="+")
    what = models.CharField(_("what"), max_length=10, choices=What.choices)
    due_at = models.DateTimeField(_("due at"))
    message = models.ForeignKey(
        AlertMessage, models.SET_NULL, verbose_name=_("message"), null=True, related_name="notices"
    )
    dropped = models.CharField(
        _("dropped"), max_length=12, blank=True, default="", db_default="", help_text=_("Why it was not sent.")
    )

    class Meta:
        db_table = "scheduling_alert_notice"
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        constraints = [
            models.UniqueConstraint(fields=["alert", "revision", "contact"], name="alert_notice_once"),
        ]
        indexes = [
            models.Index(
                fields=["contact", "due_at"], condition=Q(message__isnull=True, dropped=""), name="alert_notice_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.alert_id} {self.revision}: {self.what}"
