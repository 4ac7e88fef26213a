"""Schedules and their fires: both walls, same-tenant keys."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0004_job_logs"),
        ("tenants", "0003_tiers_and_plans"),
    ]

    operations = [
        migrations.CreateModel(
            name="Schedule",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(help_text="What people call it; once in a tenant.", max_length=100)),
                ("kind", models.CharField(help_text="The kind of the jobs that it submits.", max_length=64)),
                (
                    "payload",
                    models.JSONField(blank=True, default=dict, help_text="A JSON object by the kind's own schema."),
                ),
                (
                    "priority",
                    models.SmallIntegerField(
                        default=0, help_text="Orders this tenant's own jobs only; higher runs earlier."
                    ),
                ),
                (
                    "queue",
                    models.CharField(blank=True, help_text="Empty: where routing sends the kind.", max_length=60),
                ),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        blank=True,
                        default=list,
                        help_text="Labels, with commas.",
                        size=None,
                    ),
                ),
                (
                    "fair_key",
                    models.CharField(blank=True, help_text="Whose jobs they are inside the tenant.", max_length=100),
                ),
                (
                    "max_retries",
                    models.PositiveSmallIntegerField(blank=True, help_text="Empty: the kind's own number.", null=True),
                ),
                (
                    "cron",
                    models.CharField(
                        help_text="Five fields: minute, hour, day of month, month, day of week, such as 30 2 * * MON.",
                        max_length=200,
                    ),
                ),
                (
                    "timezone",
                    models.CharField(default="UTC", help_text="An IANA name such as Europe/Berlin.", max_length=64),
                ),
                (
                    "dst_policy",
                    models.CharField(
                        choices=[
                            ("standard", "standard: fixed times run once, intervals keep their pace"),
                            ("first", "first: a missing time runs after the gap, a repeated one the first time"),
                            ("second", "second: a missing time runs after the gap, a repeated one the second time"),
                            ("both", "both: a missing time runs after the gap, a repeated one both times"),
                            ("skip", "skip: a missing time does not run, a repeated one runs the first time"),
                        ],
                        default="standard",
                        help_text="What happens to times that do not exist, and to those that come twice.",
                        max_length=10,
                        verbose_name="when clocks change",
                    ),
                ),
                (
                    "overlap_policy",
                    models.CharField(
                        choices=[
                            ("allow", "allow: submit all the same"),
                            ("skip", "skip: leave this one out"),
                            ("queue_one", "queue one: one waits for the end of the run before it, more are left out"),
                            ("cancel_previous", "cancel previous: submit, and cancel what has not ended"),
                        ],
                        default="allow",
                        help_text="What happens at a time at which an earlier run has not ended.",
                        max_length=16,
                        verbose_name="while one still runs",
                    ),
                ),
                (
                    "catch_up_policy",
                    models.CharField(
                        choices=[
                            ("none", "none: what was missed stays missed"),
                            ("latest", "latest: one run for the newest missed time"),
                            ("all", "all: a run for each missed time, the newest 100 at most"),
                        ],
                        default="latest",
                        help_text="What happens to times more than a minute ago, at which no dispatcher ran.",
                        max_length=10,
                        verbose_name="after an outage",
                    ),
                ),
                (
                    "jitter_seconds",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Each run is put off by up to so many seconds, by the same number for the same time.",
                        validators=[django.core.validators.MaxValueValidator(3600)],
                    ),
                ),
                ("starts_at", models.DateTimeField(blank=True, help_text="No run before; empty: at once.", null=True)),
                ("ends_at", models.DateTimeField(blank=True, help_text="No run after; empty: never ends.", null=True)),
                ("is_enabled", models.BooleanField(default=True)),
                ("pause_reason", models.CharField(blank=True, max_length=500)),
                ("next_fire_at", models.DateTimeField(editable=False, null=True)),
                ("last_fire_at", models.DateTimeField(editable=False, null=True)),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ScheduleFire",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("fire_time", models.DateTimeField()),
                (
                    "trigger",
                    models.CharField(
                        choices=[("cron", "by the calendar"), ("manual", "run now"), ("backfill", "backfill")],
                        max_length=8,
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("submitted", "submitted"),
                            ("waiting", "waits for the run before it"),
                            ("skipped_overlap", "skipped: one was running"),
                            ("skipped_missed", "skipped: missed"),
                            ("refused", "refused"),
                        ],
                        max_length=16,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("fired_at", models.DateTimeField()),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="schedule_fires",
                        to="scheduling.job",
                    ),
                ),
                (
                    "schedule",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="fires",
                        to="scheduling.schedule",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="schedule",
            index=models.Index(
                condition=models.Q(("next_fire_at__isnull", False)), fields=["next_fire_at"], name="schedule_next_fire"
            ),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="schedule_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="schedule_name"),
        ),
        migrations.AddIndex(
            model_name="schedulefire",
            index=models.Index(fields=["schedule", "-id"], name="schedule_fire_newest"),
        ),
        migrations.AddIndex(
            model_name="schedulefire",
            index=models.Index(
                condition=models.Q(("job__isnull", False)), fields=["schedule", "-fire_time"], name="schedule_fire_runs"
            ),
        ),
        migrations.AddIndex(
            model_name="schedulefire",
            index=models.Index(
                condition=models.Q(("job__isnull", False)), fields=["tenant", "job"], name="schedule_fire_job"
            ),
        ),
        migrations.AddConstraint(
            model_name="schedulefire",
            constraint=models.UniqueConstraint(fields=("schedule", "fire_time"), name="schedule_fire_once"),
        ),
        migrations.AddConstraint(
            model_name="schedulefire",
            constraint=models.UniqueConstraint(
                condition=models.Q(("outcome", "waiting")), fields=("schedule",), name="schedule_fire_one_waiting"
            ),
        ),
        EnableRowSecurity("Schedule"),
        EnableRowSecurity("ScheduleFire"),
        AddCompositeForeignKey(
            "ScheduleFire", columns=("tenant_id", "schedule_id"), to="scheduling.Schedule", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "ScheduleFire", columns=("tenant_id", "job_id"), to="scheduling.Job", on_delete="SET NULL"
        ),
    ]
