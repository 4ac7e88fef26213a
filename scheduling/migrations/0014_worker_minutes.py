"""The load of each worker by minute, a new table."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity

FILL = "ALTER TABLE scheduling_worker_minute SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)"


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0013_schedule_intervals")]

    operations = [
        migrations.CreateModel(
            name="WorkerMinute",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "worker_id", "minute", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("heartbeats", models.IntegerField(default=0)),
                ("busy", models.IntegerField(default=0, help_text="Slots in use, summed over the heartbeats.")),
                (
                    "memory_kib",
                    models.BigIntegerField(default=0, help_text="Most resident memory of its processes together."),
                ),
                ("begun", models.IntegerField(default=0, help_text="Executions that began.")),
                (
                    "worker",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.worker",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_worker_minute",
                "indexes": [models.Index(fields=["minute"], name="worker_minute_by_time")],
            },
        ),
        EnableRowSecurity("WorkerMinute", column=None, app_may=["SELECT"]),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
