"""What the fairness explorer reads: entitlements by minute, and a tenant's last executions by an index of their own."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.database.partitions import AddPartitionedIndex
from tenants.database.rls import EnableRowSecurity

READ = ["SELECT"]
TABLE = "scheduling_share_minute"


def unconstrained(to):
    return models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to=to)


class Migration(migrations.Migration):
    # The index is built beside a table in use.
    atomic = False
    dependencies = [("scheduling", "0015_eligibility"), ("tenants", "0010_plan_versions")]

    operations = [
        # First, because it may take its time, and goes on where it was interrupted.
        AddPartitionedIndex("Execution", models.Index(fields=["tenant", "-id"], name="execution_by_tenant")),
        migrations.CreateModel(
            name="ShareMinute",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "minute", "queue_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("minute", models.DateTimeField()),
                (
                    "entitled_us",
                    models.BigIntegerField(help_text="Slot time that it was entitled to within the minute."),
                ),
                (
                    "backlogged_us",
                    models.BigIntegerField(help_text="How long of the minute it had more work than it was served."),
                ),
                (
                    "lag_us",
                    models.BigIntegerField(help_text="Behind its ideal share when last seen backlogged.", null=True),
                ),
                ("queue", unconstrained("scheduling.queue")),
                ("tenant", unconstrained("tenants.tenant")),
            ],
            options={
                "db_table": TABLE,
                "indexes": [models.Index(fields=["minute"], name="share_minute_by_time")],
            },
        ),
        EnableRowSecurity("ShareMinute", app_may=READ),
        # Rows of the running minute are updated every few seconds and stay on their page (HOT).
        migrations.RunSQL(
            f"ALTER TABLE {TABLE} SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)",
            f"ALTER TABLE {TABLE} RESET (fillfactor, autovacuum_vacuum_scale_factor)",
        ),
        migrations.AddField("RollupClock", "shares_sampled_at", models.DateTimeField(null=True)),
    ]
