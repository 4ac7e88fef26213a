"""Encrypted log lines, and the index of the words of log lines."""

import django.db.models.deletion
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity

# A filter stays in its row: a search reads neighbouring pages instead of a value of another table for each row.
STORAGE = """
    ALTER TABLE scheduling_log_segment ALTER COLUMN filter SET STORAGE PLAIN;
    ALTER TABLE scheduling_log_segment SET (autovacuum_vacuum_scale_factor = 0.02);
"""


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0023_trace_ids"), ("tenants", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="joblog",
            name="sealed",
            field=models.JSONField(
                help_text="Message and fields, if values are encrypted; they are empty then.", null=True
            ),
        ),
        migrations.AddField(
            model_name="savedview",
            name="place",
            field=models.CharField(choices=[("jobs", "Jobs"), ("logs", "Logs")], default="jobs", max_length=4),
        ),
        migrations.RemoveConstraint(model_name="savedview", name="saved_view_name_of_owner"),
        migrations.AddConstraint(
            model_name="savedview",
            constraint=models.UniqueConstraint(
                fields=("tenant", "owner", "place", "name"), name="saved_view_name_of_owner", nulls_distinct=False
            ),
        ),
        migrations.CreateModel(
            name="LogSegment",
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
                ("after_id", models.UUIDField(help_text="The last line of the segment before.")),
                ("last_id", models.UUIDField()),
                ("until", models.DateTimeField(help_text="The time of the last line's id.")),
                ("lines", models.IntegerField()),
                (
                    "is_keyed",
                    models.BooleanField(help_text="Whether the words were hashed with a secret of the tenant."),
                ),
                ("filter", models.BinaryField(max_length=1792)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_log_segment",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "last_id"), name="log_segment_of_tenant"),
                ],
                "indexes": [models.Index(fields=["last_id"], name="log_segment_by_last")],
            },
        ),
        migrations.CreateModel(
            name="LogVolume",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "day", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("day", models.DateField()),
                ("bytes", models.BigIntegerField()),
                ("allowed", models.BigIntegerField(null=True)),
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
            options={"db_table": "scheduling_log_volume"},
        ),
        EnableRowSecurity("LogVolume", app_may=["SELECT"]),
        EnableRowSecurity("LogSegment", app_may=["SELECT"]),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
    ]
