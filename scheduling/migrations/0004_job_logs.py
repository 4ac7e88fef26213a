"""What jobs log, and the errors they meet: partitioned history of their own, so that no table in use is touched."""

import django.db.models.deletion
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, CreatePartitionedModel, EnableRowSecurity

APPEND = ["SELECT", "INSERT"]
COUNT = ["SELECT", "INSERT", "UPDATE"]


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0003_queues_and_plans"), ("tenants", "0007_tenant_settings")]

    operations = [
        CreatePartitionedModel(
            name="JobLog",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("execution_id", models.UUIDField()),
                ("attempt", models.PositiveSmallIntegerField()),
                (
                    "level",
                    models.PositiveSmallIntegerField(
                        choices=[(10, "debug"), (20, "info"), (30, "warning"), (40, "error")]
                    ),
                ),
                ("message", models.TextField()),
                ("fields", models.JSONField(default=dict)),
                ("at", models.DateTimeField(help_text="By the worker's clock.")),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="%(class)ss",
                        to="scheduling.job",
                    ),
                ),
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
            options={"indexes": [models.Index(fields=["job", "id"], name="job_log_job")]},
        ),
        CreatePartitionedModel(
            name="JobError",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("execution_id", models.UUIDField(help_text="None where the job had not begun.", null=True)),
                ("kind", models.CharField(max_length=64)),
                ("error_type", models.CharField(max_length=100)),
                (
                    "error_message",
                    models.CharField(help_text="Its beginning; the whole is with the execution.", max_length=500),
                ),
                ("error_fingerprint", models.CharField(max_length=16)),
                ("at", models.DateTimeField()),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="%(class)ss",
                        to="scheduling.job",
                    ),
                ),
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
            options={
                "verbose_name": "error",
                "indexes": [
                    models.Index(fields=["tenant", "id"], name="job_error_tenant"),
                    models.Index(fields=["tenant", "error_fingerprint", "id"], name="job_error_fingerprint"),
                ],
            },
        ),
        migrations.CreateModel(
            name="JobLogTally",
            fields=[
                ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "offered_bytes",
                    models.BigIntegerField(help_text="Of all lines that were to be kept, also those that were not."),
                ),
                ("dropped_lines", models.BigIntegerField(default=0)),
                ("full_line_id", models.UUIDField(null=True)),
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
        ),
        EnableRowSecurity("JobLog", app_may=APPEND),
        EnableRowSecurity("JobError", app_may=APPEND),
        EnableRowSecurity("JobLogTally", app_may=COUNT),
        AddCompositeForeignKey(
            "JobLogTally", columns=("tenant_id", "job_id"), to="scheduling.Job", on_delete="CASCADE"
        ),
    ]
