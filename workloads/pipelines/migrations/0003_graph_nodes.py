"""The states and outputs of the nodes that an entity has passed; the columns have defaults, so no row is written."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rag_pipeline", "0002_sealed_errors")]

    operations = [
        migrations.AddField(
            "pipelineentity", "nodes", models.JSONField(db_default={}, default=dict, verbose_name="nodes")
        ),
        migrations.AddField(
            "pipelineentity", "outputs", models.JSONField(db_default={}, default=dict, verbose_name="outputs")
        ),
    ]
