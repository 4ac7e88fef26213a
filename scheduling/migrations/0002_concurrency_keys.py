"""The tables and columns of concurrency keys and unique keys.

Each column is nullable and has no default, so no row is written; each ALTER TABLE locks its table for a moment only.
"""

import django.db.models.deletion
from django.db import migrations, models

from tenants.database.migration_sql import load_migration_sql
from tenants.database.rls import EnableRowSecurity


def tenant_field():
    return models.ForeignKey(
        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to="tenants.tenant"
    )


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0001_initial"),
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="ConcurrencyKeyNews",
            fields=[
                ("kind", models.CharField(max_length=64)),
                ("concurrency_key", models.CharField(max_length=200, primary_key=True, serialize=False)),
                ("ended", models.IntegerField()),
            ],
            options={"db_table": "scheduling_concurrency_key_news", "managed": False},
        ),
        migrations.CreateModel(
            name="ConcurrencyKey",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id",
                        "kind",
                        "concurrency_key",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("tenant", tenant_field()),
                ("kind", models.CharField(max_length=64)),
                ("concurrency_key", models.CharField(max_length=200)),
                ("in_flight", models.IntegerField()),
            ],
            options={"db_table": "scheduling_concurrency_key"},
        ),
        migrations.CreateModel(
            name="UniqueKey",
            fields=[
                ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                ("tenant", tenant_field()),
                ("kind", models.CharField(max_length=64)),
                ("unique_key", models.CharField(max_length=200)),
            ],
            options={
                "db_table": "scheduling_unique_key",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "kind", "unique_key"), name="unique_key_once")
                ],
            },
        ),
        migrations.AddField(
            model_name="job",
            name="concurrency_key",
            field=models.CharField(
                blank=True,
                help_text="Bounds how many of the tenant's jobs of this kind with the same key run at once.",
                max_length=200,
                null=True,
                verbose_name="concurrency key",
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="unique_key",
            field=models.CharField(blank=True, max_length=200, null=True, verbose_name="unique key"),
        ),
        migrations.AddField(
            model_name="job",
            name="unique_until",
            field=models.CharField(
                blank=True,
                choices=[("started", "started"), ("ended", "ended")],
                editable=False,
                max_length=8,
                null=True,
                verbose_name="unique until",
            ),
        ),
        migrations.AddField(
            model_name="jobheld",
            name="concurrency_key",
            field=models.CharField(max_length=200, null=True),
        ),
        migrations.AddField(
            model_name="jobready",
            name="concurrency_key",
            field=models.CharField(max_length=200, null=True),
        ),
        migrations.AddField(
            model_name="liveexecution",
            name="concurrency_key",
            field=models.CharField(max_length=200, null=True, verbose_name="concurrency key"),
        ),
        migrations.RunSQL(
            load_migration_sql(__file__, "concurrency_keys"), load_migration_sql(__file__, "drop_concurrency_keys")
        ),
        *[EnableRowSecurity(model) for model in ("ConcurrencyKey", "ConcurrencyKeyNews", "UniqueKey")],
    ]
