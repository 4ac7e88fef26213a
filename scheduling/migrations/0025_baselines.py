"""Summaries of series by the hour, what is usual for them, and deviations."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from scheduling.migrations._alert_seeds import ANOMALY_RULES, add_rules
from tenants.database.rls import EnableRowSecurity, cross_tenant_migration

SCOPES = [("kind", "job kind"), ("queue", "queue"), ("tenant", "tenant")]
MEASURES = [
    ("rate", "runs ended a minute"),
    ("wait", "wait, 95th percentile"),
    ("run", "run time, 80th percentile"),
    ("failures", "failure rate"),
]


def create_rule(apps, schema_editor):
    add_rules(apps, schema_editor, ANOMALY_RULES)


def delete_rule(apps, schema_editor):
    with cross_tenant_migration(schema_editor):
        rules = apps.get_model("scheduling", "AlertRule").objects.using(schema_editor.connection.alias)
        rules.filter(measure="anomaly").delete()


def series() -> list[tuple[str, models.Field]]:
    tenant = models.ForeignKey(
        db_constraint=False,
        db_index=False,
        null=True,
        on_delete=django.db.models.deletion.DO_NOTHING,
        related_name="+",
        to="tenants.tenant",
    )
    return [
        ("id", models.BigAutoField(primary_key=True, serialize=False)),
        ("scope", models.CharField(choices=SCOPES, max_length=8)),
        ("name", models.CharField(max_length=64)),
        ("tenant", tenant),
    ]


def ranges() -> models.Field:
    array = django.contrib.postgres.fields.ArrayField
    words = "For each hour of the week from Monday on, or one for all."
    return array(array(models.FloatField(), size=4), help_text=words, size=None)


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0024_log_segments"), ("tenants", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="SeriesSummary",
            fields=[*series(), ("hour", models.DateTimeField()), ("numbers", models.JSONField())],
            options={
                "db_table": "scheduling_series_summary",
                "indexes": [models.Index(fields=["hour"], name="series_summary_by_time")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("scope", "tenant", "name", "hour"), name="series_summary_once", nulls_distinct=False
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SeriesBaseline",
            fields=[
                *series(),
                ("measure", models.CharField(choices=MEASURES, max_length=8)),
                ("ranges", ranges()),
                ("below", models.FloatField(help_text="Spreads below the range from which a value deviates.")),
                ("above", models.FloatField()),
                ("hours", models.IntegerField(help_text="Hours of history that it was learned from.")),
                ("learned_at", models.DateTimeField()),
            ],
            options={
                "db_table": "scheduling_series_baseline",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("scope", "tenant", "name", "measure"), name="series_baseline_once", nulls_distinct=False
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Anomaly",
            fields=[
                *series(),
                ("measure", models.CharField(choices=MEASURES, max_length=8)),
                (
                    "is_change",
                    models.BooleanField(default=False, help_text="Whether the level has changed for hours."),
                ),
                ("value", models.FloatField(help_text="The worst value.")),
                ("low", models.FloatField(help_text="The usual range at that time.")),
                ("high", models.FloatField()),
                ("score", models.FloatField(help_text="1 is the least deviation; negative below the usual range.")),
                ("began_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField(help_text="When it last deviated.")),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "scheduling_anomaly",
                "indexes": [
                    models.Index(fields=["tenant", "-id"], name="anomaly_of_tenant"),
                    models.Index(fields=["seen_at"], name="anomaly_by_time"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("scope", "tenant", "name", "measure", "is_change"),
                        name="anomaly_open_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        *(EnableRowSecurity(model, app_may=["SELECT"]) for model in ("SeriesSummary", "SeriesBaseline", "Anomaly")),
        migrations.RunPython(create_rule, delete_rule),
    ]
