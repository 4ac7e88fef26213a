"""Changes of chunks by hand: their places, switches and versions. Constant defaults need no rewrite of the table."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0004_document_facts")]

    operations = [
        migrations.AddField("chunk", "place", models.FloatField(editable=False, null=True, verbose_name="place")),
        migrations.AddField(
            "chunk", "is_enabled", models.BooleanField(db_default=True, default=True, verbose_name="is searched")
        ),
        migrations.AddField(
            "chunk", "is_edited", models.BooleanField(db_default=False, default=False, verbose_name="is edited")
        ),
        migrations.AddField(
            "chunk",
            "version",
            models.PositiveIntegerField(db_default=1, default=1, editable=False, verbose_name="version"),
        ),
        migrations.CreateModel(
            name="ChunkVersion",
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
                ("chunk_id", models.UUIDField(verbose_name="chunk id")),
                ("number", models.PositiveIntegerField(verbose_name="number")),
                ("text", models.TextField(verbose_name="text")),
                (
                    "change",
                    models.CharField(
                        choices=[
                            ("edited", "Edited"),
                            ("split", "Split"),
                            ("merged", "Merged"),
                            ("restored", "Restored"),
                        ],
                        max_length=10,
                        verbose_name="change",
                    ),
                ),
                ("replaced_by", models.CharField(max_length=200, verbose_name="replaced by")),
                (
                    "replaced_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="replaced at"
                    ),
                ),
                (
                    "document",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="retrieval.document",
                        verbose_name="document",
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
                "verbose_name": "chunk version",
                "verbose_name_plural": "chunk versions",
                "indexes": [models.Index(fields=["tenant", "document"], name="chunk_version_document")],
                "constraints": [
                    models.UniqueConstraint(fields=["tenant", "chunk_id", "number"], name="chunk_version_unique")
                ],
            },
        ),
        EnableRowSecurity("ChunkVersion"),
        AddCompositeForeignKey(
            "ChunkVersion", columns=("tenant_id", "document_id"), to="retrieval.Document", on_delete="CASCADE"
        ),
    ]
