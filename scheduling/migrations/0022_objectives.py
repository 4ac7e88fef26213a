"""Objectives, the states that excuse late jobs, their counts, and the wait of each execution in history."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0021_series"),
        ("tenants", "0003_tenant_provision_digest"),
    ]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="wait_us",
            field=models.BigIntegerField(
                help_text="Until the first start of its job.",
                null=True,
                verbose_name="wait us",
            ),
        ),
        migrations.CreateModel(
            name="Objective",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "kind",
                    models.CharField(blank=True, help_text="Empty: every kind.", max_length=64, verbose_name="kind"),
                ),
                (
                    "target_share",
                    models.FloatField(
                        default=0.95,
                        help_text="Share of the jobs that must start in time, such as 0.95.",
                        validators=[
                            django.core.validators.MinValueValidator(0.5),
                            django.core.validators.MaxValueValidator(0.9999),
                        ],
                        verbose_name="share",
                    ),
                ),
                (
                    "target_seconds",
                    models.PositiveIntegerField(
                        choices=[
                            (60, "1 minute"),
                            (120, "2 minutes"),
                            (300, "5 minutes"),
                            (900, "15 minutes"),
                            (3600, "1 hour"),
                            (14400, "4 hours"),
                            (86400, "1 day"),
                        ],
                        default=60,
                        verbose_name="start within",
                    ),
                ),
                (
                    "window_days",
                    models.PositiveSmallIntegerField(
                        choices=[(7, "7 days"), (28, "28 days")],
                        default=28,
                        help_text="The time of its budget.",
                        verbose_name="days",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Empty: the platform.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "tier",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Jobs of tenants of this tier; empty: of every tier.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.tier",
                        verbose_name="tier",
                    ),
                ),
            ],
            options={
                "verbose_name": "objective",
                "verbose_name_plural": "objectives",
                "db_table": "scheduling_objective",
            },
        ),
        migrations.CreateModel(
            name="ObjectiveHour",
            fields=[
                ("good", models.BigIntegerField()),
                ("late", models.BigIntegerField()),
                ("excused", models.JSONField(default=dict, help_text="Numbers by reason.")),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "objective_id", "hour", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hour", models.DateTimeField()),
                (
                    "objective",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="scheduling.objective",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_objective_hour",
            },
        ),
        migrations.CreateModel(
            name="ObjectiveMinute",
            fields=[
                ("good", models.BigIntegerField()),
                ("late", models.BigIntegerField()),
                ("excused", models.JSONField(default=dict, help_text="Numbers by reason.")),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "objective_id", "minute", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("minute", models.DateTimeField()),
                (
                    "objective",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="scheduling.objective",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_objective_minute",
            },
        ),
        migrations.CreateModel(
            name="StateMinute",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "queue_id", "minute", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("states", models.SmallIntegerField()),
                (
                    "queue",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.queue",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_state_minute",
            },
        ),
        migrations.CreateModel(
            name="ExcusedMinute",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id",
                        "minute",
                        "kind",
                        "queue_id",
                        "excuse",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("kind", models.CharField(max_length=64)),
                ("excuse", models.CharField(max_length=12)),
                ("wait", django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                (
                    "queue",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.queue",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_excused_minute",
                "indexes": [models.Index(fields=["minute"], name="excused_minute_by_time")],
            },
        ),
        migrations.AddConstraint(
            model_name="objective",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="objective_name", nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name="objective",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("tenant__isnull", False), ("tier", None)),
                    models.Q(
                        ("tenant", None),
                        models.Q(("tier__isnull", False), models.Q(("kind", ""), _negated=True), _connector="OR"),
                    ),
                    _connector="OR",
                ),
                name="objective_covers_something",
            ),
        ),
        migrations.AddIndex(
            model_name="objectivehour",
            index=models.Index(fields=["hour"], name="objective_hour_by_time"),
        ),
        migrations.AddIndex(
            model_name="objectiveminute",
            index=models.Index(fields=["minute"], name="objective_minute_by_time"),
        ),
        migrations.AddIndex(
            model_name="stateminute",
            index=models.Index(fields=["minute"], name="state_minute_by_time"),
        ),
        EnableRowSecurity("Objective"),
        *(
            EnableRowSecurity(model, app_may=["SELECT"])
            for model in ("StateMinute", "ExcusedMinute", "ObjectiveMinute", "ObjectiveHour")
        ),
    ]
