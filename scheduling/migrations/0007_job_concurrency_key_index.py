"""The index of the job filter `concurrency_key:`, created without blocking writes.

The key is first, so that it serves readers of all tenants; the id is last, so that it gives a tenant's jobs in order.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("scheduling", "0006_schedule_keys")]

    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                condition=models.Q(("concurrency_key__isnull", False)),
                fields=["concurrency_key", "tenant", "id"],
                name="job_keyed",
            ),
        ),
    ]
