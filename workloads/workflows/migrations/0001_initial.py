"""The tables of workflows, their versions, approvals and values."""

import django.db.models.deletion
import django.db.models.functions.datetime
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
            name="Workflow",
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
                (
                    "version",
                    models.PositiveIntegerField(
                        db_default=1,
                        default=1,
                        editable=False,
                        help_text="Number of the version in effect.",
                        verbose_name="version",
                    ),
                ),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("description", models.CharField(blank=True, max_length=1000, verbose_name="description")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
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
                "verbose_name": "workflow",
                "verbose_name_plural": "workflows",
            },
        ),
        migrations.CreateModel(
            name="Approval",
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
                ("job_id", models.UUIDField(verbose_name="job id")),
                ("node", models.CharField(max_length=200, verbose_name="node")),
                ("title", models.CharField(max_length=500, verbose_name="title")),
                ("text", models.TextField(blank=True, verbose_name="text")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("approved", "Approved"),
                            ("rejected", "Rejected"),
                            ("timed_out", "Timed out"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="pending",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("comment", models.CharField(blank=True, max_length=1000, verbose_name="comment")),
                ("decided_by", models.CharField(blank=True, max_length=200, verbose_name="decided by")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                ("expires_at", models.DateTimeField(verbose_name="expires at")),
                ("decided_at", models.DateTimeField(blank=True, null=True, verbose_name="decided at")),
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
                    "workflow",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="workflow_execution.workflow",
                        verbose_name="workflow",
                    ),
                ),
            ],
            options={
                "verbose_name": "approval",
                "verbose_name_plural": "approvals",
            },
        ),
        migrations.CreateModel(
            name="WorkflowVersion",
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
                ("number", models.PositiveIntegerField()),
                ("author", models.CharField(blank=True, max_length=200)),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("content", models.JSONField()),
                ("before", models.JSONField()),
                ("after", models.JSONField()),
                ("effective_from", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("waiting", "scheduled"),
                            ("applied", "took effect"),
                            ("withdrawn", "withdrawn"),
                            ("refused", "refused when due"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("outcome_at", models.DateTimeField(null=True)),
                ("outcome_note", models.CharField(blank=True, max_length=500)),
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
                    "workflow",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="workflow_execution.workflow",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="RunValue",
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
                ("job_id", models.UUIDField()),
                ("number", models.PositiveIntegerField()),
                ("storage_key", models.CharField(max_length=200)),
                ("sha256", models.CharField(max_length=64)),
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
                "indexes": [models.Index(fields=["tenant", "storage_key"], name="run_value_content")],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "job_id", "number"), name="run_value_unique")
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="workflow",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="workflow_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="workflow",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="workflow_name_unique"),
        ),
        migrations.AddIndex(
            model_name="approval",
            index=models.Index(fields=["tenant", "state", "id"], name="approval_by_state"),
        ),
        migrations.AddIndex(
            model_name="approval",
            index=models.Index(fields=["tenant", "workflow"], name="approval_workflow"),
        ),
        migrations.AddConstraint(
            model_name="approval",
            constraint=models.UniqueConstraint(fields=("tenant", "job_id", "node"), name="approval_node_unique"),
        ),
        migrations.AddConstraint(
            model_name="approval",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["pending", "approved", "rejected", "timed_out", "withdrawn"])),
                name="approval_state_known",
            ),
        ),
        migrations.AddIndex(
            model_name="workflowversion",
            index=models.Index(
                condition=models.Q(("outcome", "waiting")), fields=["effective_from"], name="workflow_version_waiting"
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowversion",
            constraint=models.UniqueConstraint(fields=("tenant", "workflow", "number"), name="workflow_version_unique"),
        ),
        EnableRowSecurity("Workflow"),
        EnableRowSecurity("WorkflowVersion", app_may=["SELECT", "INSERT", "UPDATE", "DELETE"]),
        EnableRowSecurity("Approval"),
        EnableRowSecurity("RunValue"),
        AddCompositeForeignKey(
            "WorkflowVersion",
            columns=("tenant_id", "workflow_id"),
            to="workflow_execution.Workflow",
            on_delete="CASCADE",
        ),
        AddCompositeForeignKey(
            "Approval", columns=("tenant_id", "workflow_id"), to="workflow_execution.Workflow", on_delete="CASCADE"
        ),
        migrations.RunSQL(load_migration_sql(__file__, "versions"), migrations.RunSQL.noop),
    ]
