"""Dead letters by fingerprint in the order of their ids, and the groups of those that wait; a reason more."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("scheduling", "0023_busy_minutes")]

    operations = [
        migrations.AlterField(
            model_name="deadletter",
            name="reason",
            field=models.CharField(
                max_length=20,
                choices=[
                    ("permanent_error", "permanent error"),
                    ("attempts_exhausted", "attempts exhausted"),
                    ("deadline_passed", "deadline passed"),
                    ("retry_past_deadline", "its retry would begin after its deadline"),
                    ("crashed_workers", "crashed its workers"),
                ],
            ),
        ),
        # What an interrupted try has left would be in the way.
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS dead_letter_by_fingerprint", migrations.RunSQL.noop),
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS dead_letter_group", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="deadletter",
            index=models.Index(fields=["error_fingerprint", "tenant", "id"], name="dead_letter_by_fingerprint"),
        ),
        AddIndexConcurrently(
            model_name="deadletter",
            index=models.Index(
                fields=["tenant", "kind", "error_fingerprint", "id"],
                name="dead_letter_group",
                condition=models.Q(requeued_at__isnull=True),
            ),
        ),
        RemoveIndexConcurrently(model_name="deadletter", name="dead_letter_fingerprint"),
    ]
