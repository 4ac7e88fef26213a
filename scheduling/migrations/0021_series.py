"""Rollups of each kind by minute and of each series by hour, in place of the rollup of kinds by hour and outcome."""

from typing import Any

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity

FILL = """
ALTER TABLE {} SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)
"""
# Counts of folds that the hours of series do not have yet; rows with an excuse hold late waits only.
SERIES_TALLY = """
CREATE TABLE scheduling_series_tally (
    tenant_id uuid NOT NULL,
    queue_id bigint NOT NULL,
    kind varchar(64) NOT NULL,
    excuse varchar(12),
    minute timestamptz NOT NULL,
    completed integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    dead_letters integer NOT NULL DEFAULT 0,
    busy_us bigint NOT NULL DEFAULT 0,
    wait integer[] NOT NULL,
    run integer[]
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)
"""


class DisableRowSecurity(EnableRowSecurity):
    """The reverse of EnableRowSecurity, before the table is deleted."""

    def database_forwards(self, *args: Any) -> None:
        super().database_backwards(*args)

    def database_backwards(self, *args: Any) -> None:
        super().database_forwards(*args)


def measures() -> list[tuple[str, models.Field]]:
    histogram = django.contrib.postgres.fields.ArrayField
    failed = "Failures of the jobs themselves: failed, timed out, crashed, expired."
    run = "Histogram of slot times of completed and failed executions."
    return [
        ("completed", models.IntegerField(default=0)),
        ("failed", models.IntegerField(default=0, help_text=failed)),
        ("dead_letters", models.IntegerField(default=0)),
        ("busy_us", models.BigIntegerField(default=0)),
        ("wait", histogram(models.IntegerField(), help_text="Histogram of waits until the first start.", size=None)),
        ("run", histogram(models.IntegerField(), help_text=run, size=None)),
    ]


def reference(to: str, **options: Any) -> models.ForeignKey:
    nothing = django.db.models.deletion.DO_NOTHING
    return models.ForeignKey(db_constraint=False, db_index=False, on_delete=nothing, to=to, **options)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial"), ("scheduling", "0019_alert_messages")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE scheduling_tally ADD COLUMN worker_id uuid",
            "ALTER TABLE scheduling_tally DROP COLUMN worker_id",
        ),
        migrations.CreateModel(
            name="KindMinute",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id",
                        "minute",
                        "kind",
                        "queue_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                *measures(),
                ("minute", models.DateTimeField()),
                ("kind", models.CharField(max_length=64)),
                ("queue", reference("scheduling.queue")),
                ("tenant", reference("tenants.tenant")),
            ],
            options={
                "db_table": "scheduling_kind_minute",
                "indexes": [models.Index(fields=["minute"], name="kind_minute_by_time")],
            },
        ),
        migrations.CreateModel(
            name="SeriesHour",
            fields=[
                *measures(),
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "scope",
                    models.CharField(
                        choices=[("kind", "Kind"), ("queue", "Queue"), ("tenant", "Tenant"), ("worker", "Worker")],
                        max_length=8,
                    ),
                ),
                ("name", models.CharField(max_length=64)),
                ("hour", models.DateTimeField()),
                ("tenant", reference("tenants.tenant", null=True)),
            ],
            options={
                "db_table": "scheduling_series_hour",
                "indexes": [models.Index(fields=["hour"], name="series_hour_by_time")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("scope", "tenant", "hour", "name"), name="series_hour_once", nulls_distinct=False
                    )
                ],
            },
        ),
        migrations.RunSQL(SERIES_TALLY, "DROP TABLE scheduling_series_tally"),
        migrations.CreateModel(
            name="SeriesTally",
            fields=[
                ("queue_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=64)),
                ("minute", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, to="tenants.tenant"
                    ),
                ),
            ],
            options={"db_table": "scheduling_series_tally", "managed": False},
        ),
        EnableRowSecurity("SeriesTally", app_may=["SELECT"]),
        EnableRowSecurity("KindMinute", app_may=["SELECT"]),
        EnableRowSecurity("SeriesHour", app_may=["SELECT"]),
        *(
            migrations.RunSQL(FILL.format(f"scheduling_{table}"), migrations.RunSQL.noop)
            for table in ("kind_minute", "series_hour")
        ),
        DisableRowSecurity("KindHour", column=None, app_may=["SELECT"]),
        migrations.DeleteModel(name="KindHour"),
    ]
