"""A pool whose messages the broker does not take stores when, and why."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0040_auditor_heartbeat")]

    operations = [
        # Nullable, or with a constant default: the one row a pool is not rewritten.
        migrations.AddField(
            "PoolClock",
            "publish_failed_at",
            models.DateTimeField(
                help_text="When the broker last took no message of this pool; no tick clears it.", null=True
            ),
        ),
        migrations.AddField(
            "PoolClock", "publish_fault", models.CharField(blank=True, db_default="", default="", max_length=200)
        ),
    ]
