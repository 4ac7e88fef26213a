"""The tables of pipelines, their versions and their runs."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity

KEPT = ["SELECT", "INSERT", "DELETE"]


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Pipeline",
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
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("description", models.CharField(blank=True, max_length=1000, verbose_name="description")),
                ("latest_number", models.PositiveIntegerField(default=0, editable=False, verbose_name="latest number")),
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
                "verbose_name": "pipeline",
                "verbose_name_plural": "pipelines",
            },
        ),
        migrations.CreateModel(
            name="PipelineRun",
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
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("completed", "Completed"),
                            ("partial", "Partial"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="waiting",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("entities_total", models.PositiveIntegerField(verbose_name="entities total")),
                ("entities_completed", models.PositiveIntegerField(default=0, verbose_name="entities completed")),
                ("entities_error", models.PositiveIntegerField(default=0, verbose_name="entities error")),
                ("entities_cancelled", models.PositiveIntegerField(default=0, verbose_name="entities cancelled")),
                ("error_code", models.CharField(blank=True, max_length=64, verbose_name="error code")),
                ("error_message", models.CharField(blank=True, max_length=1000, verbose_name="error message")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True, verbose_name="started at")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended at")),
                (
                    "pipeline",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="runs",
                        to="rag_pipeline.pipeline",
                        verbose_name="pipeline",
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
                "verbose_name": "pipeline run",
                "verbose_name_plural": "pipeline runs",
            },
        ),
        migrations.CreateModel(
            name="PipelineEntity",
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
                ("position", models.PositiveIntegerField(verbose_name="position")),
                ("source", models.JSONField(verbose_name="source")),
                ("name", models.CharField(max_length=255, verbose_name="name")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("completed", "Completed"),
                            ("error", "Error"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="waiting",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("job_id", models.UUIDField(verbose_name="job id")),
                ("attempt", models.PositiveSmallIntegerField(default=0, verbose_name="attempt")),
                ("content_key", models.CharField(blank=True, max_length=200, verbose_name="content key")),
                ("content_sha256", models.CharField(blank=True, max_length=64, verbose_name="content sha256")),
                ("content_type", models.CharField(blank=True, max_length=100, verbose_name="content type")),
                ("size_bytes", models.PositiveBigIntegerField(default=0, verbose_name="size bytes")),
                ("passages_key", models.CharField(blank=True, max_length=200, verbose_name="passages key")),
                ("passages_sha256", models.CharField(blank=True, max_length=64, verbose_name="passages sha256")),
                ("document_id", models.UUIDField(blank=True, null=True, verbose_name="document id")),
                ("is_duplicate", models.BooleanField(default=False, verbose_name="is duplicate")),
                ("chunks_done", models.PositiveIntegerField(default=0, verbose_name="chunks done")),
                ("chunks_total", models.PositiveIntegerField(blank=True, null=True, verbose_name="chunks total")),
                ("error_code", models.CharField(blank=True, max_length=64, verbose_name="error code")),
                ("error_message", models.CharField(blank=True, max_length=1000, verbose_name="error message")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True, verbose_name="started at")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended at")),
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
                        related_name="entities",
                        to="rag_pipeline.pipelinerun",
                        verbose_name="run",
                    ),
                ),
            ],
            options={
                "verbose_name": "pipeline entity",
                "verbose_name_plural": "pipeline entities",
            },
        ),
        migrations.CreateModel(
            name="PipelineVersion",
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
                ("number", models.PositiveIntegerField(verbose_name="number")),
                ("definition", models.JSONField(verbose_name="definition")),
                ("dataset_id", models.UUIDField(verbose_name="dataset id")),
                ("note", models.CharField(blank=True, max_length=500, verbose_name="note")),
                ("created_by", models.CharField(blank=True, max_length=200, verbose_name="created by")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                (
                    "pipeline",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="rag_pipeline.pipeline",
                        verbose_name="pipeline",
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
                "verbose_name": "pipeline version",
                "verbose_name_plural": "pipeline versions",
            },
        ),
        migrations.AddField(
            model_name="pipelinerun",
            name="version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="runs",
                to="rag_pipeline.pipelineversion",
                verbose_name="version",
            ),
        ),
        migrations.AddConstraint(
            model_name="pipeline",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="pipeline_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="pipeline",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="pipeline_name_unique"),
        ),
        migrations.AddIndex(
            model_name="pipelineentity",
            index=models.Index(fields=["tenant", "run", "state"], name="pipeline_entity_by_state"),
        ),
        migrations.AddIndex(
            model_name="pipelineentity",
            index=models.Index(fields=["tenant", "content_key"], name="pipeline_entity_content"),
        ),
        migrations.AddIndex(
            model_name="pipelineentity",
            index=models.Index(fields=["tenant", "passages_key"], name="pipeline_entity_passages"),
        ),
        migrations.AddIndex(
            model_name="pipelineentity",
            index=models.Index(
                condition=models.Q(("state__in", ["waiting", "running"])), fields=["id"], name="pipeline_entity_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="pipelineentity",
            constraint=models.UniqueConstraint(
                fields=("tenant", "run", "position"), name="pipeline_entity_position_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="pipelineentity",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["waiting", "running", "completed", "error", "cancelled"])),
                name="pipeline_entity_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="pipelineversion",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="pipeline_version_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="pipelineversion",
            constraint=models.UniqueConstraint(
                fields=("tenant", "pipeline", "number"), name="pipeline_version_number_unique"
            ),
        ),
        migrations.AddIndex(
            model_name="pipelinerun",
            index=models.Index(fields=["tenant", "pipeline", "id"], name="pipeline_run_of_pipeline"),
        ),
        migrations.AddIndex(
            model_name="pipelinerun",
            index=models.Index(fields=["tenant", "version"], name="pipeline_run_of_version"),
        ),
        migrations.AddIndex(
            model_name="pipelinerun",
            index=models.Index(
                condition=models.Q(("state__in", ["waiting", "running"])), fields=["id"], name="pipeline_run_open"
            ),
        ),
        migrations.AddIndex(
            model_name="pipelinerun",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", False)), fields=["ended_at"], name="pipeline_run_ended"
            ),
        ),
        migrations.AddConstraint(
            model_name="pipelinerun",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="pipeline_run_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="pipelinerun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ["waiting", "running", "completed", "partial", "failed", "cancelled"])
                ),
                name="pipeline_run_state_known",
            ),
        ),
        EnableRowSecurity("Pipeline"),
        # A saved version is never written again.
        EnableRowSecurity("PipelineVersion", app_may=KEPT, platform_may=KEPT),
        EnableRowSecurity("PipelineRun"),
        EnableRowSecurity("PipelineEntity"),
        AddCompositeForeignKey(
            "PipelineVersion", columns=("tenant_id", "pipeline_id"), to="rag_pipeline.Pipeline", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "PipelineRun", columns=("tenant_id", "pipeline_id"), to="rag_pipeline.Pipeline", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "PipelineRun", columns=("tenant_id", "version_id"), to="rag_pipeline.PipelineVersion", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "PipelineEntity", columns=("tenant_id", "run_id"), to="rag_pipeline.PipelineRun", on_delete="CASCADE"
        ),
    ]
