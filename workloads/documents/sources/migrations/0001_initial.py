"""The tables of sources of documents and their items."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("retrieval", "0011_document_metadata"),
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="ContentSource",
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
                ("connector", models.CharField(max_length=63, verbose_name="connector")),
                ("config", models.JSONField(default=dict, verbose_name="configuration")),
                (
                    "credentials",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="The name of a stored secret for each credential of the connector.",
                        verbose_name="credentials",
                    ),
                ),
                (
                    "max_documents",
                    models.PositiveIntegerField(
                        default=10000,
                        help_text="A longer listing is cut, and then no item counts as gone.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100000),
                        ],
                        verbose_name="documents at most",
                    ),
                ),
                (
                    "max_file_bytes",
                    models.PositiveIntegerField(
                        default=52428800,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(52428800),
                        ],
                        verbose_name="bytes of a file at most",
                    ),
                ),
                (
                    "gone_items",
                    models.CharField(
                        choices=[("delete", "Delete their documents"), ("keep", "Keep their documents")],
                        default="delete",
                        max_length=10,
                        verbose_name="items that are gone",
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="is enabled")),
                ("job_id", models.UUIDField(editable=False, null=True, verbose_name="job id")),
                ("sync_number", models.PositiveIntegerField(default=0, editable=False, verbose_name="sync number")),
                ("synced_at", models.DateTimeField(editable=False, null=True, verbose_name="last sync")),
                ("counts", models.JSONField(default=dict, editable=False, verbose_name="counts")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
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
                "verbose_name": "document source",
                "verbose_name_plural": "document sources",
            },
        ),
        migrations.CreateModel(
            name="SourceItem",
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
                ("key", models.CharField(max_length=2000, verbose_name="key")),
                ("version", models.CharField(blank=True, max_length=200, verbose_name="version")),
                ("fetched_version", models.CharField(blank=True, max_length=200, verbose_name="fetched version")),
                ("sha256", models.CharField(blank=True, max_length=64, verbose_name="sha256")),
                (
                    "state",
                    models.CharField(
                        choices=[("listed", "Listed"), ("current", "Current"), ("error", "Error"), ("gone", "Gone")],
                        default="listed",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("error_code", models.CharField(blank=True, max_length=64, verbose_name="error code")),
                ("error_message", models.TextField(blank=True, max_length=1000, verbose_name="error message")),
                ("document_id", models.UUIDField(null=True, verbose_name="document")),
                ("is_owner", models.BooleanField(default=False, verbose_name="is owner")),
                ("seen_in", models.PositiveIntegerField(verbose_name="seen in sync")),
                ("checked_in", models.PositiveIntegerField(default=0, verbose_name="checked in sync")),
                ("added_in", models.PositiveIntegerField(default=0, verbose_name="added in sync")),
                ("changed_in", models.PositiveIntegerField(default=0, verbose_name="changed in sync")),
                ("changed_at", models.DateTimeField(null=True, verbose_name="changed at")),
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
                    "source",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="document_sources.contentsource",
                        verbose_name="source",
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
                "verbose_name": "item of a source",
                "verbose_name_plural": "items of sources",
            },
        ),
        migrations.AddIndex(
            model_name="contentsource",
            index=models.Index(fields=["tenant", "dataset"], name="content_source_dataset"),
        ),
        migrations.AddConstraint(
            model_name="contentsource",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="content_source_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="contentsource",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="content_source_name_unique"),
        ),
        migrations.AddConstraint(
            model_name="contentsource",
            constraint=models.CheckConstraint(
                condition=models.Q(("gone_items__in", ["delete", "keep"])), name="content_source_gone_items_known"
            ),
        ),
        migrations.AddIndex(
            model_name="sourceitem",
            index=models.Index(fields=["tenant", "source", "-id"], name="source_item_source"),
        ),
        migrations.AddIndex(
            model_name="sourceitem",
            index=models.Index(fields=["tenant", "document_id"], name="source_item_document"),
        ),
        migrations.AddConstraint(
            model_name="sourceitem",
            constraint=models.UniqueConstraint(fields=("tenant", "source", "key"), name="source_item_key_unique"),
        ),
        migrations.AddConstraint(
            model_name="sourceitem",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["listed", "current", "error", "gone"])),
                name="source_item_state_known",
            ),
        ),
        EnableRowSecurity("ContentSource"),
        EnableRowSecurity("SourceItem"),
        AddCompositeForeignKey(
            "ContentSource", columns=("tenant_id", "dataset_id"), to="retrieval.Dataset", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "SourceItem", columns=("tenant_id", "source_id"), to="document_sources.ContentSource", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "SourceItem", columns=("tenant_id", "dataset_id"), to="retrieval.Dataset", on_delete="CASCADE"
        ),
    ]
