"""The tables of workflow runs and their nodes."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import tenants.database.ids
from tenants.database.migration_sql import load_migration_sql
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="WorkflowRun",
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
                ("version", models.PositiveIntegerField(verbose_name="version")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "running"),
                            ("waiting", "waiting"),
                            ("succeeded", "succeeded"),
                            ("failed", "failed"),
                            ("cancelled", "cancelled"),
                            ("skipped", "skipped"),
                        ],
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("inputs", models.JSONField(null=True, verbose_name="inputs")),
                ("inputs_version", models.PositiveIntegerField(default=0, verbose_name="inputs version")),
                ("inputs_bytes", models.PositiveBigIntegerField(default=0, verbose_name="inputs bytes")),
                ("inputs_key", models.CharField(max_length=200, null=True, verbose_name="inputs key")),
                ("inputs_sha256", models.CharField(blank=True, max_length=64, verbose_name="inputs sha256")),
                ("outputs", models.JSONField(null=True, verbose_name="outputs")),
                ("outputs_version", models.PositiveIntegerField(default=0, verbose_name="outputs version")),
                ("outputs_bytes", models.PositiveBigIntegerField(default=0, verbose_name="outputs bytes")),
                ("outputs_key", models.CharField(max_length=200, null=True, verbose_name="outputs key")),
                ("outputs_sha256", models.CharField(blank=True, max_length=64, verbose_name="outputs sha256")),
                ("error_code", models.CharField(blank=True, max_length=64, verbose_name="error code")),
                ("error_message", models.CharField(blank=True, max_length=1000, verbose_name="error message")),
                ("started_at", models.DateTimeField(null=True, verbose_name="started at")),
                ("ended_at", models.DateTimeField(null=True, verbose_name="ended at")),
                ("workflow_id", models.UUIDField(verbose_name="workflow id")),
                ("workflow_version", models.PositiveIntegerField(verbose_name="workflow version")),
                ("workflow_name", models.CharField(blank=True, max_length=200, verbose_name="workflow name")),
                ("job_id", models.UUIDField(verbose_name="job id")),
                ("total_tokens", models.PositiveBigIntegerField(default=0, verbose_name="total tokens")),
                ("total_steps", models.PositiveIntegerField(default=0, verbose_name="total steps")),
                ("graph", models.JSONField(null=True, verbose_name="graph")),
                ("is_external", models.BooleanField(db_default=False, verbose_name="is external")),
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
                "verbose_name": "workflow run",
                "verbose_name_plural": "workflow runs",
            },
        ),
        migrations.CreateModel(
            name="NodeRun",
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
                ("version", models.PositiveIntegerField(verbose_name="version")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "running"),
                            ("waiting", "waiting"),
                            ("succeeded", "succeeded"),
                            ("failed", "failed"),
                            ("cancelled", "cancelled"),
                            ("skipped", "skipped"),
                        ],
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("inputs", models.JSONField(null=True, verbose_name="inputs")),
                ("inputs_version", models.PositiveIntegerField(default=0, verbose_name="inputs version")),
                ("inputs_bytes", models.PositiveBigIntegerField(default=0, verbose_name="inputs bytes")),
                ("inputs_key", models.CharField(max_length=200, null=True, verbose_name="inputs key")),
                ("inputs_sha256", models.CharField(blank=True, max_length=64, verbose_name="inputs sha256")),
                ("outputs", models.JSONField(null=True, verbose_name="outputs")),
                ("outputs_version", models.PositiveIntegerField(default=0, verbose_name="outputs version")),
                ("outputs_bytes", models.PositiveBigIntegerField(default=0, verbose_name="outputs bytes")),
                ("outputs_key", models.CharField(max_length=200, null=True, verbose_name="outputs key")),
                ("outputs_sha256", models.CharField(blank=True, max_length=64, verbose_name="outputs sha256")),
                ("error_code", models.CharField(blank=True, max_length=64, verbose_name="error code")),
                ("error_message", models.CharField(blank=True, max_length=1000, verbose_name="error message")),
                ("started_at", models.DateTimeField(null=True, verbose_name="started at")),
                ("ended_at", models.DateTimeField(null=True, verbose_name="ended at")),
                ("run_version", models.PositiveIntegerField()),
                ("node_id", models.CharField(max_length=100)),
                (
                    "path",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveIntegerField(), default=list, size=None
                    ),
                ),
                ("node_type", models.CharField(max_length=64)),
                ("attempt", models.PositiveIntegerField(default=1)),
                ("tokens", models.PositiveBigIntegerField(default=0)),
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
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="nodes",
                        to="workflow_storage.workflowrun",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="workflowrun",
            index=models.Index(fields=["tenant", "workflow_id", "id"], name="workflow_run_workflow"),
        ),
        migrations.AddIndex(
            model_name="workflowrun",
            index=models.Index(fields=["tenant", "job_id"], name="workflow_run_job"),
        ),
        migrations.AddIndex(
            model_name="workflowrun",
            index=models.Index(
                condition=models.Q(("state__in", ["running", "waiting"])),
                fields=["tenant", "id"],
                name="workflow_run_open",
            ),
        ),
        migrations.AddIndex(
            model_name="workflowrun",
            index=models.Index(
                condition=models.Q(("inputs_key__isnull", False)),
                fields=["tenant", "inputs_key"],
                name="workflow_run_inputs_key",
            ),
        ),
        migrations.AddIndex(
            model_name="workflowrun",
            index=models.Index(
                condition=models.Q(("outputs_key__isnull", False)),
                fields=["tenant", "outputs_key"],
                name="workflow_run_outputs_key",
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowrun",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="workflow_run_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="workflowrun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ["running", "waiting", "succeeded", "failed", "cancelled", "skipped"])
                ),
                name="workflow_run_state_known",
            ),
        ),
        migrations.AddIndex(
            model_name="noderun",
            index=models.Index(fields=["tenant", "run", "id"], name="node_run_of_run"),
        ),
        migrations.AddIndex(
            model_name="noderun",
            index=models.Index(
                condition=models.Q(("inputs_key__isnull", False)),
                fields=["tenant", "inputs_key"],
                name="node_run_inputs_key",
            ),
        ),
        migrations.AddIndex(
            model_name="noderun",
            index=models.Index(
                condition=models.Q(("outputs_key__isnull", False)),
                fields=["tenant", "outputs_key"],
                name="node_run_outputs_key",
            ),
        ),
        migrations.AddConstraint(
            model_name="noderun",
            constraint=models.UniqueConstraint(fields=("tenant", "run", "node_id", "path"), name="node_run_unique"),
        ),
        migrations.AddConstraint(
            model_name="noderun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ["running", "waiting", "succeeded", "failed", "cancelled", "skipped"])
                ),
                name="node_run_state_known",
            ),
        ),
        migrations.RunSQL(load_migration_sql(__file__, "storage"), migrations.RunSQL.noop),
        EnableRowSecurity("WorkflowRun"),
        EnableRowSecurity("NodeRun"),
        AddCompositeForeignKey(
            "NodeRun", columns=("tenant_id", "run_id"), to="workflow_storage.WorkflowRun", on_delete="CASCADE"
        ),
    ]
