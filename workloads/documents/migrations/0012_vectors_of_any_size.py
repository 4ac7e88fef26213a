"""Vectors of any number of dimensions, and chunks without a vector. Neither rewrites the table.

The column's new type is part of the indexes of large datasets, so they are dropped: these datasets are searched exactly
until `build_search_indexes` has built the new ones.
"""

import pgvector.django.vector
from django.db import migrations

from tenants.database.migration_sql import load_migration_sql


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0011_document_metadata")]

    operations = [
        migrations.RunSQL(
            load_migration_sql(__file__, "any_size"),
            load_migration_sql(__file__, "one_size"),
            state_operations=[
                migrations.AlterField(
                    "chunk", "embedding", pgvector.django.vector.VectorField(null=True, verbose_name="embedding")
                )
            ],
        )
    ]
