"""Metadata of documents with the index of its values, and re-ranking. Constant defaults need no rewrite of a table."""

import django.db.models.deletion
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity


def _reference(name: str, to: str, **options: object) -> models.ForeignKey:
    return models.ForeignKey(db_index=False, related_name="+", to=to, verbose_name=name, **options)


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0008_chunking")]

    operations = [
        migrations.AddField(
            "dataset",
            "metadata_fields",
            models.JSONField(
                blank=True,
                db_default=[],
                default=list,
                help_text=(
                    'What documents can have values of, for filters: a list of up to 20 objects such as {"name": "year", '
                    '"type": "number"}; other types are “text”, “date”, “boolean” and “texts”.'
                ),
                verbose_name="metadata fields",
            ),
        ),
        migrations.AddField(
            "dataset",
            "is_reranked",
            models.BooleanField(
                db_default=False,
                default=False,
                help_text=(
                    "Searches let the platform's re-ranking endpoint, if there is one, re-order their best results."
                ),
                verbose_name="re-rank results",
            ),
        ),
        migrations.AddField(
            "document", "metadata", models.JSONField(blank=True, db_default={}, default=dict, verbose_name="metadata")
        ),
        migrations.CreateModel(
            name="DocumentValue",
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
                ("name", models.CharField(max_length=50, verbose_name="name")),
                ("key", models.CharField(db_collation="C", max_length=200, verbose_name="key")),
                (
                    "dataset",
                    _reference(
                        "dataset",
                        "retrieval.dataset",
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                    ),
                ),
                (
                    "document",
                    _reference(
                        "document",
                        "retrieval.document",
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                    ),
                ),
                ("tenant", _reference("tenant", "tenants.tenant", on_delete=django.db.models.deletion.PROTECT)),
            ],
            options={
                "verbose_name": "document value",
                "verbose_name_plural": "document values",
                "indexes": [models.Index(fields=["tenant", "document"], name="document_value_document")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "dataset", "name", "key", "document"), name="document_value_unique"
                    )
                ],
            },
        ),
        EnableRowSecurity("DocumentValue"),
        AddCompositeForeignKey(
            "DocumentValue", columns=("tenant_id", "document_id"), to="retrieval.Document", on_delete="CASCADE"
        ),
    ]
