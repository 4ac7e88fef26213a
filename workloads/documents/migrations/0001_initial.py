"""The tables of datasets, documents and chunks."""

import django.contrib.postgres.search
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
import pgvector.django.vector
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
            name="Dataset",
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
                (
                    "chunk_size",
                    models.PositiveSmallIntegerField(
                        default=200,
                        help_text="Maximum tokens of a chunk; a token is about four letters or one and a half Chinese characters.",
                        validators=[
                            django.core.validators.MinValueValidator(20),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                        verbose_name="chunk size",
                    ),
                ),
                (
                    "chunk_overlap",
                    models.PositiveSmallIntegerField(
                        default=20,
                        help_text="Tokens that a chunk repeats from the previous one; at most half of a chunk.",
                        verbose_name="chunk overlap",
                    ),
                ),
                (
                    "embedding_model",
                    models.CharField(
                        editable=False,
                        max_length=100,
                        verbose_name="embedding model",
                    ),
                ),
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
                "verbose_name": "dataset",
                "verbose_name_plural": "datasets",
            },
        ),
        migrations.CreateModel(
            name="Document",
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
                ("name", models.CharField(max_length=255, verbose_name="name")),
                ("content_type", models.CharField(max_length=100, verbose_name="content type")),
                ("size_bytes", models.PositiveBigIntegerField(verbose_name="size bytes")),
                ("sha256", models.CharField(max_length=64, verbose_name="sha256")),
                ("settings_key", models.CharField(max_length=16, verbose_name="settings key")),
                ("storage_key", models.CharField(max_length=200, verbose_name="storage key")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("parsing", "Parsing"),
                            ("cleaning", "Cleaning"),
                            ("splitting", "Splitting"),
                            ("indexing", "Indexing"),
                            ("completed", "Completed"),
                            ("error", "Error"),
                        ],
                        default="waiting",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("chunks_done", models.PositiveIntegerField(default=0, verbose_name="chunks done")),
                ("chunks_total", models.PositiveIntegerField(blank=True, null=True, verbose_name="chunks total")),
                ("passages_digest", models.CharField(blank=True, max_length=64, verbose_name="passages digest")),
                ("error_code", models.CharField(blank=True, max_length=64, verbose_name="error code")),
                ("error_message", models.CharField(blank=True, max_length=1000, verbose_name="error message")),
                ("kept_chunks", models.PositiveIntegerField(db_default=0, verbose_name="kept chunks")),
                (
                    "served_model",
                    models.CharField(blank=True, db_default="", max_length=100, verbose_name="served model"),
                ),
                ("source_url", models.CharField(blank=True, db_default="", max_length=2000, verbose_name="source url")),
                ("is_fetch_due", models.BooleanField(db_default=False, verbose_name="is fetch due")),
                ("is_pause_asked", models.BooleanField(db_default=False, verbose_name="is pause asked")),
                ("job_id", models.UUIDField(verbose_name="job id")),
                ("batch_id", models.UUIDField(verbose_name="batch id")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                ("parsing_at", models.DateTimeField(blank=True, null=True, verbose_name="parsing at")),
                ("cleaning_at", models.DateTimeField(blank=True, null=True, verbose_name="cleaning at")),
                ("splitting_at", models.DateTimeField(blank=True, null=True, verbose_name="splitting at")),
                ("indexing_at", models.DateTimeField(blank=True, null=True, verbose_name="indexing at")),
                ("completed_at", models.DateTimeField(blank=True, null=True, verbose_name="completed at")),
                ("error_at", models.DateTimeField(blank=True, null=True, verbose_name="error at")),
                (
                    "dataset",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="documents",
                        to="retrieval.dataset",
                        verbose_name="dataset",
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
                "verbose_name": "document",
                "verbose_name_plural": "documents",
            },
        ),
        migrations.CreateModel(
            name="Chunk",
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
                ("text", models.TextField(verbose_name="text")),
                ("location", models.JSONField(default=dict, verbose_name="location")),
                ("embedding", pgvector.django.vector.VectorField(dimensions=512, verbose_name="embedding")),
                ("search", django.contrib.postgres.search.SearchVectorField(verbose_name="search")),
                ("is_served", models.BooleanField(db_default=True, verbose_name="is served")),
                ("vector_digest", models.UUIDField(blank=True, null=True, verbose_name="vector digest")),
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
                    "dataset",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="retrieval.dataset",
                        verbose_name="dataset",
                    ),
                ),
                (
                    "document",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="chunks",
                        to="retrieval.document",
                        verbose_name="document",
                    ),
                ),
            ],
            options={
                "verbose_name": "chunk",
                "verbose_name_plural": "chunks",
            },
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="dataset_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="dataset_name_unique"),
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.CheckConstraint(
                condition=models.Q(("chunk_size__range", (20, 1000))), name="dataset_chunk_size"
            ),
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "chunk_overlap__lte",
                        django.db.models.expressions.CombinedExpression(models.F("chunk_size"), "/", models.Value(2)),
                    )
                ),
                name="dataset_chunk_overlap",
            ),
        ),
        migrations.AddIndex(
            model_name="document",
            index=models.Index(fields=["tenant", "batch_id"], name="document_batch"),
        ),
        migrations.AddIndex(
            model_name="document",
            index=models.Index(fields=["tenant", "storage_key"], name="document_file"),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="document_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(
                condition=models.Q(("source_url", "")),
                fields=("tenant", "dataset", "sha256", "settings_key"),
                name="document_file_unique",
            ),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(
                condition=models.Q(("source_url", ""), _negated=True),
                fields=("tenant", "dataset", "source_url"),
                name="document_url_unique",
            ),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status__in", ["waiting", "parsing", "cleaning", "splitting", "indexing", "completed", "error"])
                ),
                name="document_status_known",
            ),
        ),
        migrations.AddIndex(
            model_name="chunk",
            index=models.Index(fields=["tenant", "dataset"], name="chunk_dataset"),
        ),
        migrations.AddIndex(
            model_name="chunk",
            index=models.Index(fields=["tenant", "vector_digest"], name="chunk_vector"),
        ),
        migrations.AddConstraint(
            model_name="chunk",
            constraint=models.UniqueConstraint(
                fields=("tenant", "document", "is_served", "position"), name="chunk_place_unique"
            ),
        ),
        migrations.RunSQL(load_migration_sql(__file__, "storage"), migrations.RunSQL.noop),
        EnableRowSecurity("Dataset"),
        EnableRowSecurity("Document"),
        EnableRowSecurity("Chunk"),
        AddCompositeForeignKey(
            "Document", columns=("tenant_id", "dataset_id"), to="retrieval.Dataset", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "Chunk", columns=("tenant_id", "dataset_id"), to="retrieval.Dataset", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "Chunk", columns=("tenant_id", "document_id"), to="retrieval.Document", on_delete="CASCADE"
        ),
    ]
