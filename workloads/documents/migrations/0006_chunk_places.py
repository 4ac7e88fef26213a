"""Indexes for lists of chunks, created without blocking writes: by document in its order, and by dataset."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Cast, Coalesce

from tenants.database.migration_sql import load_migration_sql


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("retrieval", "0005_chunk_changes")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    load_migration_sql(__file__, "chunk_order"), "DROP INDEX CONCURRENTLY chunk_order_unique"
                )
            ],
            state_operations=[
                migrations.AddConstraint(
                    "chunk",
                    models.UniqueConstraint(
                        models.F("tenant"),
                        models.F("document"),
                        models.F("is_served"),
                        Coalesce("place", Cast("position", models.FloatField())),
                        name="chunk_order_unique",
                    ),
                )
            ],
        ),
        # A chunk that was added by hand has the position of the one before it.
        migrations.RemoveConstraint("chunk", "chunk_place_unique"),
        AddIndexConcurrently(
            "chunk", models.Index(fields=["tenant", "dataset", "is_served", "id"], name="chunk_of_dataset")
        ),
        AddIndexConcurrently(
            "chunk",
            models.Index(
                condition=models.Q(("is_edited", True), ("is_enabled", False), _connector="OR"),
                fields=["tenant", "dataset", "document"],
                name="chunk_changed",
            ),
        ),
        RemoveIndexConcurrently("chunk", "chunk_dataset"),
    ]
