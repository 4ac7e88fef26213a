"""Schedules and their fires; missed and skipped times are fires too."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from scheduling.jobs.job_keys.models import MAX_JOB_KEY_CHARACTERS, UniqueUntil
from scheduling.jobs.job_templates.models import JobTemplate
from scheduling.jobs.models import Job
from scheduling.schedules.recurrence import CatchUpPolicy, DstPolicy, OverlapPolicy
from tenants.encryption.fields import SealedJSONField
from tenants.tenancy.bases import TenantModel

MAX_JITTER_SECONDS = 3_600
MAX_INTERVAL_SECONDS = 366 * 86_400

DST_CHOICES = [
    (DstPolicy.STANDARD.value, _("standard: fixed times run once, intervals keep their pace")),
    (DstPolicy.FIRST.value, _("first: a missing time runs after the gap, a repeated one the first time")),
    (DstPolicy.SECOND.value, _("second: a missing time runs after the gap, a repeated one the second time")),
    (DstPolicy.BOTH.value, _("both: a missing time runs after the gap, a repeated one both times")),
    (DstPolicy.SKIP.value, _("skip: a missing time does not run, a repeated one runs the first time")),
]
OVERLAP_CHOICES = [
    (OverlapPolicy.ALLOW.value, _("allow: submit anyway")),
    (OverlapPolicy.SKIP.value, _("skip: skip this run")),
    (
        OverlapPolicy.QUEUE_ONE.value,
        _("queue one: one run waits for the end of the previous one, further ones are skipped"),
    ),
    (OverlapPolicy.CANCEL_PREVIOUS.value, _("cancel previous: submit, and cancel earlier runs that have not ended")),
]
CATCH_UP_CHOICES = [
    (CatchUpPolicy.NONE.value, _("none: missed times are not caught up")),
    (CatchUpPolicy.LATEST.value, _("latest: one run for the newest missed time")),
    (CatchUpPolicy.ALL.value, _("all: a run for each missed time, the newest 100 at most")),
]


class Schedule(TenantModel):
    """Definition of a job that is submitted at the times of a cron expression, at an interval, or once."""

    name = models.CharField(_("name"), max_length=100, help_text=_("Display name; unique in the tenant."))
    kind = models.CharField(_("kind"), max_length=64, help_text=_("The kind of the jobs that it submits."))
    # With a template, its kind and a payload of the values of its parameters.
    template = models.ForeignKey(
        JobTemplate,
        models.DO_NOTHING,
        verbose_name=_("template"),
        null=True,
        blank=True,
        db_constraint=False,  # the migration has the composite key (tenant, template), which keeps a used template
        db_index=False,
        related_name="schedules",
        help_text=_("Runs the template's version in effect; the payload holds the values of its parameters."),
    )
    payload = SealedJSONField(
        verbose_name=_("payload"), default=dict, blank=True, help_text=_("A JSON object by the kind's own schema.")
    )
    priority = models.SmallIntegerField(
        _("priority"), default=0, help_text=_("Orders this tenant's own jobs only; higher runs earlier.")
    )
    queue = models.CharField(
        _("queue"), max_length=60, blank=True, help_text=_("Empty: the queue of the kind's routing.")
    )
    tags = ArrayField(
        models.CharField(max_length=64),
        verbose_name=_("tags"),
        default=list,
        blank=True,
        help_text=_("Labels, comma-separated."),
    )
    fair_key = models.CharField(
        _("fair key"),
        max_length=100,
        blank=True,
        help_text=_("Key within the tenant; slots are shared fairly between keys."),
    )
    concurrency_key = models.CharField(
        _("concurrency key"),
        max_length=MAX_JOB_KEY_CHARACTERS,
        blank=True,
        default="",
        db_default="",
        help_text=_("Bounds how many of the tenant's jobs of this kind with the same key run at once."),
    )
    unique_key = models.CharField(
        _("unique key"),
        max_length=MAX_JOB_KEY_CHARACTERS,
        blank=True,
        default="",
        db_default="",
        help_text=_("While a job of the kind has this key, a run is skipped."),
    )
    unique_until = models.CharField(
        _("unique until"),
        max_length=8,
        choices=UniqueUntil.choices,
        blank=True,
        default="",
        db_default="",
        help_text=_("When the key is free again; empty: ended. Without a unique key that of the concurrency key."),
    )
    max_retries = models.PositiveSmallIntegerField(
        _("max retries"), null=True, blank=True, help_text=_("Empty: the kind's default.")
    )
    cron = models.CharField(
        _("cron"),
        max_length=200,
        blank=True,
        help_text=_(
            "Five fields: minute, hour, day of month, month, day of week, such as 30 2 * * MON; or @daily and the like."
        ),
    )
    interval_seconds = models.PositiveIntegerField(
        _("or every … seconds"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_INTERVAL_SECONDS)],
        help_text=_("Counted from “starts at”, or from now; 3600 is an hour."),
    )
    once_at = models.DateTimeField(_("or once at"), null=True, blank=True, help_text=_("A single run."))
    timezone = models.CharField(
        _("timezone"), max_length=64, default="UTC", help_text=_("An IANA name such as Europe/Berlin.")
    )
    dst_policy = models.CharField(
        _("when clocks change"),
        max_length=10,
        choices=DST_CHOICES,
        default=DstPolicy.STANDARD.value,
        help_text=_("Rule for local times that do not exist or occur twice."),
    )
    overlap_policy = models.CharField(
        _("if one still runs"),
        max_length=16,
        choices=OVERLAP_CHOICES,
        default=OverlapPolicy.ALLOW.value,
        help_text=_("Rule for a time at which an earlier run has not ended."),
    )
    catch_up_policy = models.CharField(
        _("after an outage"),
        max_length=10,
        choices=CATCH_UP_CHOICES,
        default=CatchUpPolicy.LATEST.value,
        help_text=_("Rule for times more than a minute ago at which no dispatcher ran."),
    )
    jitter_seconds = models.PositiveIntegerField(
        _("jitter seconds"),
        default=0,
        validators=[MaxValueValidator(MAX_JITTER_SECONDS)],
        help_text=_("Maximum random delay of each run in seconds; it is constant for the same time."),
    )
    starts_at = models.DateTimeField(
        _("starts at"), null=True, blank=True, help_text=_("No run before; empty: at once.")
    )
    ends_at = models.DateTimeField(_("ends at"), null=True, blank=True, help_text=_("No run after; empty: never ends."))
    is_enabled = models.BooleanField(_("is enabled"), default=True)
    pause_reason = models.CharField(_("pause reason"), max_length=500, blank=True)
    next_fire_at = models.DateTimeField(_("next fire at"), null=True, editable=False)
    last_fire_at = models.DateTimeField(_("last fire at"), null=True, editable=False)
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="schedule_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], name="schedule_name"),
            models.CheckConstraint(
                condition=(Q(interval_seconds=None, once_at=None) & ~Q(cron=""))
                | Q(cron="", interval_seconds__isnull=False, once_at=None)
                | Q(cron="", interval_seconds=None, once_at__isnull=False),
                name="schedule_one_timing",
            ),
        ]
        indexes = [
            models.Index(fields=["next_fire_at"], condition=Q(next_fire_at__isnull=False), name="schedule_next_fire"),
            models.Index(fields=["template"], condition=Q(template__isnull=False), name="schedule_of_template"),
        ]

    def __str__(self) -> str:
        return self.name


class ScheduleFire(TenantModel):
    """One time of a schedule, and its outcome: a job was submitted, waits, was refused or was skipped."""

    class Trigger(models.TextChoices):
        CRON = "cron", _("by the calendar")
        MANUAL = "manual", _("run now")
        BACKFILL = "backfill", _("backfill")

    class Outcome(models.TextChoices):
        SUBMITTED = "submitted", _("submitted")
        WAITING = "waiting", _("waits for the previous run")
        SKIPPED_OVERLAP = "skipped_overlap", _("skipped: one was running")
        SKIPPED_MISSED = "skipped_missed", _("skipped: missed")
        REFUSED = "refused", _("refused")

    schedule = models.ForeignKey(
        Schedule,
        models.DO_NOTHING,
        verbose_name=_("schedule"),
        db_constraint=False,  # the migration has the composite key (tenant, schedule)
        db_index=False,
        related_name="fires",
    )
    fire_time = models.DateTimeField(_("fire time"))
    trigger = models.CharField(_("trigger"), max_length=8, choices=Trigger.choices)
    outcome = models.CharField(_("outcome"), max_length=16, choices=Outcome.choices)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    job = models.ForeignKey(
        Job,
        models.DO_NOTHING,
        verbose_name=_("job"),
        null=True,
        db_constraint=False,  # likewise (tenant, job)
        db_index=False,
        related_name="schedule_fires",
    )
    fired_at = models.DateTimeField(_("fired at"))

    class Meta:
        verbose_name = _("schedule fire")
        verbose_name_plural = _("schedule fires")
        constraints = [
            models.UniqueConstraint(fields=["schedule", "fire_time"], name="schedule_fire_once"),
            models.UniqueConstraint(
                fields=["schedule"], condition=Q(outcome="waiting"), name="schedule_fire_one_waiting"
            ),
        ]
        indexes = [
            models.Index(fields=["schedule", "-id"], name="schedule_fire_newest"),
            models.Index(fields=["schedule", "-fire_time"], condition=Q(job__isnull=False), name="schedule_fire_runs"),
            models.Index(fields=["tenant", "job"], condition=Q(job__isnull=False), name="schedule_fire_job"),
        ]

    def __str__(self) -> str:
        return f"{self.fire_time:%Y-%m-%d %H:%M:%S} {self.outcome}"
