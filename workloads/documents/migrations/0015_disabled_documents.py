"""The index of the documents that no search finds, created without blocking writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("retrieval", "0014_dataset_states")]

    operations = [
        AddIndexConcurrently(
            "document",
            models.Index(condition=models.Q(is_enabled=False), fields=["tenant", "dataset"], name="document_disabled"),
        ),
    ]
