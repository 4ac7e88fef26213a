"""Upkeep, its runs and the rollups."""

from django.db import migrations, models

import tenants.ids
from tenants.rls import EnableRowSecurity

READ = ["SELECT"]


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0007_usage"), ("django_celery_beat", "0019_alter_periodictasks_options")]

    operations = [
        migrations.CreateModel(
            name="UpkeepRun",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=64)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("ok", "Ok"),
                            ("partial", "more to do"),
                            ("failed", "Failed"),
                        ],
                        default="running",
                        max_length=10,
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("counts", models.JSONField(default=dict, help_text="What was done, by name.")),
                (
                    "findings",
                    models.JSONField(
                        default=list, help_text="What is wrong, in words; a run with findings has failed."
                    ),
                ),
                ("error", models.TextField(blank=True)),
                ("cursor", models.JSONField(default=dict, help_text="Where the next run goes on.")),
                ("lease_expires_at", models.DateTimeField()),
            ],
            options={
                "db_table": "scheduling_upkeep_run",
                "indexes": [models.Index(fields=["name", "-id"], name="upkeep_run_by_name")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("outcome", "running")), fields=("name",), name="upkeep_one_run_at_a_time"
                    )
                ],
            },
        ),
        EnableRowSecurity("UpkeepRun", column=None, app_may=READ),
    ]
