"""The indexes by which ticks find the jobs of a concurrency key, created without blocking writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("scheduling", "0002_concurrency_keys")]

    operations = [
        AddIndexConcurrently(
            model_name="jobheld",
            index=models.Index(
                condition=models.Q(("gate__lt", "circuit")),
                fields=["gate", "tenant", "kind", "concurrency_key", "rank", "job_id"],
                name="job_held_for_key",
            ),
        ),
        AddIndexConcurrently(
            model_name="jobready",
            index=models.Index(
                condition=models.Q(("concurrency_key__isnull", False)),
                fields=["tenant", "kind", "concurrency_key"],
                name="job_ready_of_key",
            ),
        ),
    ]
