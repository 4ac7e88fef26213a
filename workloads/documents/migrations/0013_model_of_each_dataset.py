"""The embedding model of each dataset, and the vectors of its next one."""

import django.db.models.deletion
import pgvector.django.vector
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity, cross_tenant_migration

# A document of another model than its dataset was found by words only. Its vectors cannot be compared.
_FORGET_OTHER_VECTORS = """
UPDATE retrieval_chunk SET embedding = NULL, vector_digest = NULL
FROM retrieval_document document JOIN retrieval_dataset dataset ON dataset.id = document.dataset_id
WHERE retrieval_chunk.document_id = document.id AND document.served_model NOT IN ('', dataset.embedding_model)
"""

# A model's name ended with its number of dimensions, if they were less than 512: zeros filled up its vectors.
CUT_ZEROS = """
UPDATE retrieval_chunk SET embedding = subvector(embedding, 1, dataset.dimensions)
FROM (SELECT id, substring(embedding_model FROM '@([1-9][0-9]{0,2})$')::int AS dimensions FROM retrieval_dataset) dataset
WHERE retrieval_chunk.dataset_id = dataset.id AND dataset.dimensions < 512
"""

# The key of a document's settings ended with the name of the model, and now ends with that of the local one for every
# model. A document whose twin has the new key already keeps the old one, and is re-indexed.
RENAME_KEYS = """
WITH key AS (
    SELECT id, concat(settings, ':', embedding_model) AS old, concat(settings, ':use-multilingual-3') AS new
    FROM (
        SELECT id, embedding_model, concat_ws(
            ':', chunk_size, chunk_overlap,
            CASE WHEN (size_unit, chunking) <> ('tokens', 'structure') THEN concat(size_unit, ':', chunking) END,
            CASE WHEN chunking = 'parent_child' THEN parent_size END
        ) AS settings
        FROM retrieval_dataset WHERE embedding_model <> 'use-multilingual-3'
    ) dataset
), digest AS (
    SELECT id, left(encode(sha256(convert_to(old, 'UTF8')), 'hex'), 16) AS old,
        left(encode(sha256(convert_to(new, 'UTF8')), 'hex'), 16) AS new
    FROM key
)
UPDATE retrieval_document document SET settings_key = digest.new
FROM digest WHERE document.dataset_id = digest.id AND document.settings_key = digest.old
    AND NOT EXISTS (
        SELECT FROM retrieval_document twin WHERE twin.dataset_id = digest.id AND twin.sha256 = document.sha256
            AND twin.settings_key = digest.new
    )
"""


def leave_one_model(apps, schema_editor):
    with cross_tenant_migration(schema_editor):
        schema_editor.execute(_FORGET_OTHER_VECTORS)
        schema_editor.execute(CUT_ZEROS)
        schema_editor.execute(RENAME_KEYS)


def _to(model):
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name="+",
        to=f"retrieval.{model}",
        verbose_name=model,
    )


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0012_vectors_of_any_size")]

    operations = [
        migrations.RunPython(leave_one_model, migrations.RunPython.noop),
        migrations.RemoveField("document", "served_model"),
        migrations.AlterField(
            "dataset", "embedding_model", models.CharField(max_length=200, verbose_name="embedding model")
        ),
        migrations.AddField(
            "dataset",
            "next_model",
            models.CharField(
                blank=True, db_default="", editable=False, max_length=200, verbose_name="next embedding model"
            ),
        ),
        migrations.AddField(
            "dataset", "embedding_job_id", models.UUIDField(editable=False, null=True, verbose_name="embedding job id")
        ),
        migrations.CreateModel(
            name="NextVector",
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
                ("embedding", pgvector.django.vector.VectorField(verbose_name="embedding")),
                ("vector_digest", models.UUIDField(verbose_name="vector digest")),
                ("dataset", _to("dataset")),
                ("document", _to("document")),
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
                "verbose_name": "next vector",
                "verbose_name_plural": "next vectors",
                "indexes": [
                    models.Index(fields=["tenant", "dataset", "id"], name="next_vector_dataset"),
                    models.Index(fields=["tenant", "document"], name="next_vector_document"),
                ],
            },
        ),
        migrations.RunSQL(
            "ALTER TABLE retrieval_nextvector ALTER COLUMN embedding SET STORAGE MAIN", migrations.RunSQL.noop
        ),
        EnableRowSecurity("NextVector"),
        AddCompositeForeignKey(
            "NextVector", columns=("tenant_id", "dataset_id"), to="retrieval.Dataset", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "NextVector", columns=("tenant_id", "document_id"), to="retrieval.Document", on_delete="CASCADE"
        ),
    ]
