"""The trace context of a job, the canary and clock of a worker, and the heartbeats of dispatchers and beat."""

from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0008_upkeep")]

    operations = [
        migrations.AddField(
            "Job",
            "traceparent",
            models.CharField(
                blank=True,
                editable=False,
                help_text="W3C trace context of the submission.",
                max_length=55,
                null=True,
            ),
        ),
        migrations.AddField(
            "Worker", "stop_reason", models.CharField(blank=True, db_default="", default="", max_length=40)
        ),
        migrations.AddField(
            "Worker",
            "canary_at",
            models.DateTimeField(blank=True, help_text="When a child last answered a canary.", null=True),
        ),
        migrations.AddField(
            "Worker",
            "clock_skew_seconds",
            models.FloatField(blank=True, help_text="Its clock less the database's.", null=True),
        ),
        migrations.CreateModel(
            name="ProcessHeartbeat",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "role",
                    models.CharField(choices=[("dispatcher", "Dispatcher"), ("beat", "Beat")], max_length=12),
                ),
                ("hostname", models.CharField(max_length=200)),
                ("pid", models.PositiveIntegerField()),
                ("started_at", models.DateTimeField()),
                ("heartbeat_at", models.DateTimeField()),
                ("clock_skew_seconds", models.FloatField(help_text="Its clock less the database's.")),
            ],
            options={"db_table": "scheduling_process_heartbeat", "ordering": ["-id"]},
        ),
        EnableRowSecurity("ProcessHeartbeat", column=None, app_may=["SELECT"]),
    ]
