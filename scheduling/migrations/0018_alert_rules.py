"""The tables of alert rules, alerts and the values that they compare, with the rules of a new installation."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from scheduling.migrations._alert_seeds import create_rules
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0017_schedule_template_index"),
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="AlertClock",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("evaluated_at", models.DateTimeField(null=True)),
                ("evaluated_by", models.UUIDField(null=True)),
                (
                    "settling_until",
                    models.DateTimeField(help_text="Until then measures of heartbeats are not read.", null=True),
                ),
                (
                    "frozen_until",
                    models.DateTimeField(help_text="Until then no alert changes: a clock was set.", null=True),
                ),
                ("cause_id", models.UUIDField(help_text="The last error that was counted by its cause.", null=True)),
                ("beaten_at", models.DateTimeField(help_text="The last heartbeat to the outside.", null=True)),
            ],
            options={
                "db_table": "scheduling_alert_clock",
            },
        ),
        migrations.CreateModel(
            name="AlertRule",
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
                    "origin",
                    models.CharField(
                        blank=True,
                        editable=False,
                        help_text="Empty: own rule.",
                        max_length=40,
                        verbose_name="shipped as",
                    ),
                ),
                ("measure", models.CharField(max_length=40, verbose_name="measure")),
                (
                    "per",
                    models.CharField(
                        choices=[
                            ("kind", "job kind"),
                            ("queue", "queue"),
                            ("pool", "pool"),
                            ("tenant", "tenant"),
                            ("cause", "cause of failures"),
                            ("task", "upkeep task"),
                            ("check", "check"),
                            ("incident", "incident"),
                            ("objective", "objective"),
                            ("series", "series"),
                            ("query", "saved log query"),
                        ],
                        help_text="The object that each alert is about.",
                        max_length=12,
                        verbose_name="per",
                    ),
                ),
                (
                    "only_kind",
                    models.CharField(
                        blank=True, help_text="Empty: every kind.", max_length=64, verbose_name="only kind"
                    ),
                ),
                (
                    "only_queue",
                    models.CharField(
                        blank=True, help_text="Empty: every queue.", max_length=60, verbose_name="only queue"
                    ),
                ),
                (
                    "only_tenant",
                    models.UUIDField(
                        blank=True, help_text="Its id; empty: every tenant.", null=True, verbose_name="only tenant"
                    ),
                ),
                (
                    "comparison",
                    models.CharField(
                        choices=[("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")],
                        default="ge",
                        max_length=2,
                        verbose_name="comparison",
                    ),
                ),
                ("threshold", models.FloatField(verbose_name="threshold")),
                (
                    "clear_threshold",
                    models.FloatField(
                        blank=True,
                        help_text="Value beyond which it clears; empty: the threshold.",
                        null=True,
                        verbose_name="clears at",
                    ),
                ),
                (
                    "for_seconds",
                    models.PositiveIntegerField(
                        default=0,
                        validators=[django.core.validators.MaxValueValidator(86400)],
                        verbose_name="for seconds",
                    ),
                ),
                (
                    "clear_seconds",
                    models.PositiveIntegerField(
                        default=60,
                        help_text="It resolves after the value has been clear for this time.",
                        validators=[django.core.validators.MaxValueValidator(86400)],
                        verbose_name="clear for seconds",
                    ),
                ),
                (
                    "severity",
                    models.CharField(
                        choices=[("info", "info"), ("warning", "warning"), ("critical", "critical")],
                        default="warning",
                        max_length=8,
                        verbose_name="severity",
                    ),
                ),
                (
                    "active_days",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(
                            validators=[
                                django.core.validators.MinValueValidator(1),
                                django.core.validators.MaxValueValidator(7),
                            ]
                        ),
                        blank=True,
                        default=list,
                        help_text="1 is Monday; empty: every day.",
                        size=None,
                        verbose_name="days",
                    ),
                ),
                ("active_from", models.TimeField(blank=True, null=True, verbose_name="from")),
                ("active_until", models.TimeField(blank=True, null=True, verbose_name="until")),
                ("zone", models.CharField(db_default="UTC", default="UTC", max_length=64, verbose_name="time zone")),
                (
                    "escalate_minutes",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1440),
                        ],
                        verbose_name="escalates after minutes",
                    ),
                ),
                (
                    "notifies_tenant",
                    models.BooleanField(
                        default=False,
                        help_text="The tenant that an alert is about is notified too.",
                        verbose_name="notifies the tenant",
                    ),
                ),
                (
                    "inhibits",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.SlugField(max_length=40),
                        blank=True,
                        default=list,
                        help_text="Measures whose alerts of the same object do not notify while it fires.",
                        size=None,
                        verbose_name="inhibits",
                    ),
                ),
                (
                    "runbook",
                    models.CharField(
                        blank=True, help_text="Its section in docs/alerting.md.", max_length=80, verbose_name="runbook"
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "changed_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="changed at"
                    ),
                ),
                ("backtest", models.JSONField(blank=True, editable=False, null=True, verbose_name="backtest")),
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
            ],
            options={
                "verbose_name": "alert rule",
                "verbose_name_plural": "alert rules",
                "db_table": "scheduling_alert_rule",
            },
        ),
        migrations.CreateModel(
            name="MeasureMinute",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "measure", "minute", "object_key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("measure", models.CharField(max_length=40)),
                ("minute", models.DateTimeField()),
                ("object_key", models.CharField(max_length=200)),
                ("label", models.CharField(max_length=100)),
                (
                    "parents",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200), default=list, size=None
                    ),
                ),
                ("worst", models.FloatField()),
                ("last", models.FloatField()),
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
                "db_table": "scheduling_measure_minute",
            },
        ),
        migrations.CreateModel(
            name="PlatformIncident",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=40)),
                ("detail", models.CharField(blank=True, max_length=100)),
                ("minute", models.DateTimeField()),
                ("count", models.IntegerField()),
            ],
            options={
                "db_table": "scheduling_platform_incident",
                "indexes": [models.Index(fields=["minute"], name="platform_incident_by_time")],
                "constraints": [
                    models.UniqueConstraint(fields=("name", "detail", "minute"), name="platform_incident_minute")
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertCause",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "fingerprint", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("fingerprint", models.CharField(max_length=16)),
                ("kind", models.CharField(max_length=64)),
                ("message", models.CharField(max_length=200)),
                ("job_id", models.UUIDField(help_text="The first failed job.")),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("count", models.BigIntegerField()),
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
            options={
                "db_table": "scheduling_alert_cause",
                "indexes": [
                    models.Index(fields=["first_at"], name="alert_cause_first"),
                    models.Index(fields=["last_at"], name="alert_cause_last"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Alert",
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
                ("rule_name", models.CharField(max_length=100, verbose_name="rule")),
                (
                    "severity",
                    models.CharField(
                        choices=[("info", "info"), ("warning", "warning"), ("critical", "critical")],
                        max_length=8,
                        verbose_name="severity",
                    ),
                ),
                (
                    "object_key",
                    models.CharField(help_text="Such as queue:pipeline.", max_length=200, verbose_name="object"),
                ),
                ("object", models.JSONField(default=dict, verbose_name="object")),
                ("about_tenant", models.UUIDField(null=True, verbose_name="about tenant")),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "pending"), ("firing", "firing"), ("resolved", "resolved")],
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("value", models.FloatField(verbose_name="value")),
                ("peak", models.FloatField(verbose_name="peak")),
                ("threshold", models.FloatField(verbose_name="threshold")),
                ("held_seconds", models.FloatField(default=0, verbose_name="held seconds")),
                ("clear_held_seconds", models.FloatField(default=0, verbose_name="clear for seconds")),
                ("pending_at", models.DateTimeField(verbose_name="since")),
                ("fired_at", models.DateTimeField(null=True, verbose_name="fired at")),
                ("changed_at", models.DateTimeField(verbose_name="changed at")),
                ("resolved_at", models.DateTimeField(null=True, verbose_name="resolved at")),
                ("evaluated_at", models.DateTimeField(verbose_name="evaluated at")),
                ("revision", models.PositiveIntegerField(default=0, verbose_name="revision")),
                ("acknowledged_by", models.CharField(blank=True, max_length=200, verbose_name="acknowledged by")),
                ("acknowledged_at", models.DateTimeField(null=True, verbose_name="acknowledged at")),
                ("note", models.TextField(blank=True, verbose_name="note")),
                ("escalated_at", models.DateTimeField(null=True, verbose_name="escalated at")),
                (
                    "inhibited_by",
                    models.UUIDField(help_text="The alert that explains it.", null=True, verbose_name="inhibited by"),
                ),
                ("tenants", models.JSONField(default=list, verbose_name="tenants affected")),
                ("tenants_count", models.PositiveIntegerField(default=0, verbose_name="number of tenants affected")),
                ("facts", models.JSONField(default=dict, verbose_name="facts")),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[("helped", "the remedy helped"), ("false", "false alarm")],
                        max_length=12,
                        verbose_name="outcome",
                    ),
                ),
                ("outcome_note", models.CharField(blank=True, max_length=500, verbose_name="note on the outcome")),
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
                    "rule",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="alerts",
                        to="scheduling.alertrule",
                        verbose_name="rule",
                    ),
                ),
            ],
            options={
                "verbose_name": "alert",
                "verbose_name_plural": "alerts",
                "db_table": "scheduling_alert",
                "indexes": [
                    models.Index(fields=["tenant", "state", "-id"], name="alert_of_tenant"),
                    models.Index(
                        condition=models.Q(("state", "resolved"), _negated=True), fields=["-id"], name="alert_open"
                    ),
                    models.Index(fields=["rule", "object_key", "-id"], name="alert_of_object"),
                    models.Index(fields=["about_tenant", "-id"], name="alert_about_tenant"),
                    models.Index(
                        condition=models.Q(("state", "resolved")), fields=["resolved_at"], name="alert_resolved"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "id"), name="alert_tenant_id"),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "resolved"), _negated=True),
                        fields=("rule", "object_key"),
                        name="alert_open_of_object",
                    ),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="alertrule",
            index=models.Index(condition=models.Q(("is_enabled", True)), fields=["measure"], name="alert_rule_enabled"),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="alert_rule_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="alert_rule_name", nulls_distinct=False),
        ),
        migrations.AddIndex(
            model_name="measureminute",
            index=models.Index(fields=["minute"], name="measure_minute_by_time"),
        ),
        migrations.AddIndex(
            model_name="measureminute",
            index=models.Index(fields=["measure", "object_key", "minute"], name="measure_minute_of_object"),
        ),
        migrations.AddIndex(
            model_name="measureminute",
            index=models.Index(fields=["tenant", "measure", "minute"], name="measure_minute_of_tenant"),
        ),
        # The base class of saved views gives its fields names; the table does not change.
        migrations.AlterField(
            model_name="savedview",
            name="id",
            field=models.UUIDField(
                default=tenants.database.ids.uuid7,
                editable=False,
                primary_key=True,
                serialize=False,
                verbose_name="id",
            ),
        ),
        migrations.AlterField(
            model_name="savedview",
            name="tenant",
            field=models.ForeignKey(
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
        EnableRowSecurity("AlertRule"),
        EnableRowSecurity("Alert", app_may=["SELECT", "UPDATE"]),
        EnableRowSecurity("MeasureMinute", app_may=["SELECT"]),
        EnableRowSecurity("AlertCause", app_may=["SELECT"]),
        EnableRowSecurity("PlatformIncident", column=None, app_may=[]),
        EnableRowSecurity("AlertClock", column=None, app_may=["SELECT"]),
        # Rows of open alerts are updated each few seconds.
        migrations.RunSQL("ALTER TABLE scheduling_alert SET (fillfactor = 70)", migrations.RunSQL.noop),
        migrations.RunPython(create_rules, migrations.RunPython.noop),
    ]
