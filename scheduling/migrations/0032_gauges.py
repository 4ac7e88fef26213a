"""How queues, pools and tenants stood at the end of each minute. New tables alone: nothing that is in use is touched."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity

READ = ["SELECT"]
# Rows of the running minute are updated every few seconds and stay on their page (HOT).
TABLES = ["scheduling_queue_gauge", "scheduling_tenant_gauge", "scheduling_pool_gauge"]


def unconstrained(to):
    return models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to=to)


def composite(*columns):
    return models.CompositePrimaryKey(*columns, blank=True, editable=False, primary_key=True, serialize=False)


def gauge_fields():
    return [
        ("minute", models.DateTimeField()),
        ("waiting", models.IntegerField(default=0, help_text="Ready, due and held jobs.")),
        (
            "oldest_at",
            models.DateTimeField(help_text="Since when the longest-waiting ready job might run.", null=True),
        ),
        (
            "backing_off",
            models.IntegerField(default=0, help_text="Of the soonest: those that wait for another attempt."),
        ),
        ("due", models.IntegerField(default=0, help_text="Of these, those whose time has come.")),
        ("next_due_at", models.DateTimeField(null=True)),
        ("dispatched", models.IntegerField(default=0, help_text="Handed out and not begun.")),
        ("executing", models.IntegerField(default=0)),
        ("slots_milli", models.BigIntegerField(default=0, help_text="Slots in use, in thousandths.")),
        ("sampled_at", models.DateTimeField()),
        ("queue", unconstrained("scheduling.queue")),
    ]


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0029_kept_results"), ("tenants", "0014_audit_verifications")]

    operations = [
        migrations.CreateModel(
            name="QueueGauge",
            fields=[("pk", composite("minute", "queue_id")), *gauge_fields()],
            options={"db_table": "scheduling_queue_gauge"},
        ),
        migrations.CreateModel(
            name="TenantGauge",
            fields=[
                ("pk", composite("tenant_id", "minute", "queue_id")),
                *gauge_fields(),
                (
                    "busy_us",
                    models.BigIntegerField(default=0, help_text="Slot time of what runs, within the last ten minutes."),
                ),
                ("tenant", unconstrained("tenants.tenant")),
            ],
            options={
                "db_table": "scheduling_tenant_gauge",
                "indexes": [models.Index(fields=["minute"], name="tenant_gauge_by_time")],
            },
        ),
        migrations.CreateModel(
            name="PoolGauge",
            fields=[
                ("pk", composite("minute", "pool_id")),
                ("minute", models.DateTimeField()),
                ("slots", models.IntegerField(default=0)),
                ("slots_milli", models.BigIntegerField(default=0, help_text="Slots in use, in thousandths.")),
                ("sampled_at", models.DateTimeField()),
                ("pool", unconstrained("scheduling.workerpool")),
            ],
            options={"db_table": "scheduling_pool_gauge"},
        ),
        EnableRowSecurity("TenantGauge", app_may=READ),
        EnableRowSecurity("QueueGauge", column=None, app_may=READ),
        EnableRowSecurity("PoolGauge", column=None, app_may=READ),
        *[
            migrations.RunSQL(
                f"ALTER TABLE {table} SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)",
                f"ALTER TABLE {table} RESET (fillfactor, autovacuum_vacuum_scale_factor)",
            )
            for table in TABLES
        ],
    ]
