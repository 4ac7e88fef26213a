"""Documents that are indexed anew while their chunks of before answer, that come from addresses, and that pause.

Columns are added with constant defaults and indexes built concurrently: neither rewrites nor locks a large table.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

from tenants.database.rls import migration_door

MODELS_OF_DOCUMENTS = """
    UPDATE retrieval_document d SET served_model = s.embedding_model
    FROM retrieval_dataset s WHERE s.id = d.dataset_id AND s.tenant_id = d.tenant_id AND d.chunks_done > 0
"""
PLACES = "chunk_place_unique"
PLACE_COLUMNS = "(tenant_id, document_id, is_served, position)"


def put_models(apps, schema_editor):
    with migration_door(schema_editor), schema_editor.connection.cursor() as cursor:
        cursor.execute(MODELS_OF_DOCUMENTS)


def unique_index(name, table, columns, condition=""):
    """Built beside those who write; one that a cut-off run left unfinished goes first."""
    return migrations.RunSQL(
        [
            f"DROP INDEX CONCURRENTLY IF EXISTS {name}",
            f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} {columns} {condition}",
        ],
        migrations.RunSQL.noop,
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("retrieval", "0004_contents")]

    operations = [
        migrations.AddField("document", "kept_chunks", models.PositiveIntegerField(db_default=0)),
        migrations.AddField("document", "served_model", models.CharField(max_length=100, blank=True, db_default="")),
        migrations.AddField("document", "source_url", models.CharField(max_length=2000, blank=True, db_default="")),
        migrations.AddField("document", "is_fetch_due", models.BooleanField(db_default=False)),
        migrations.AddField("document", "is_pause_asked", models.BooleanField(db_default=False)),
        migrations.AddField("chunk", "is_served", models.BooleanField(db_default=True)),
        migrations.AddField("chunk", "vector_digest", models.UUIDField(null=True, blank=True)),
        migrations.RunPython(put_models, migrations.RunPython.noop),
        AddIndexConcurrently("chunk", models.Index(fields=["tenant", "vector_digest"], name="chunk_vector")),
        unique_index(PLACES, "retrieval_chunk", PLACE_COLUMNS),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    f"ALTER TABLE retrieval_chunk ADD CONSTRAINT {PLACES} UNIQUE USING INDEX {PLACES}",
                    f"ALTER TABLE retrieval_chunk DROP CONSTRAINT {PLACES}",
                )
            ],
            state_operations=[
                migrations.AddConstraint(
                    "chunk",
                    models.UniqueConstraint(fields=["tenant", "document", "is_served", "position"], name=PLACES),
                )
            ],
        ),
        migrations.RemoveConstraint("chunk", "chunk_position_unique"),
        unique_index(
            "document_file_unique",
            "retrieval_document",
            "(tenant_id, dataset_id, sha256, settings_key)",
            "WHERE source_url = ''",
        ),
        unique_index(
            "document_url_unique",
            "retrieval_document",
            "(tenant_id, dataset_id, source_url)",
            "WHERE NOT (source_url = '')",
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    migrations.RunSQL.noop,
                    ["DROP INDEX document_file_unique", "DROP INDEX document_url_unique"],
                )
            ],
            state_operations=[
                migrations.AddConstraint(
                    "document",
                    models.UniqueConstraint(
                        fields=["tenant", "dataset", "sha256", "settings_key"],
                        condition=models.Q(source_url=""),
                        name="document_file_unique",
                    ),
                ),
                migrations.AddConstraint(
                    "document",
                    models.UniqueConstraint(
                        fields=["tenant", "dataset", "source_url"],
                        condition=~models.Q(source_url=""),
                        name="document_url_unique",
                    ),
                ),
            ],
        ),
        migrations.RemoveConstraint("document", "document_content_unique"),
    ]
