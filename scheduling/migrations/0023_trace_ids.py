"""The trace id of a job, and its index, created without blocking writes.

Jobs that exist keep none: the page of a trace names only jobs that were submitted since.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("scheduling", "0022_objectives")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="trace_id",
            field=models.UUIDField(editable=False, null=True, verbose_name="trace id"),
        ),
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                condition=models.Q(("trace_id__isnull", False)), fields=["trace_id", "tenant"], name="job_trace"
            ),
        ),
    ]
