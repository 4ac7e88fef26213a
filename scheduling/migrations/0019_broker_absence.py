"""A pool for which nothing is claimed because the broker is away says so."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0018_suspended_jobs")]

    operations = [
        # Nullable and without a default: the one row a pool is not rewritten.
        migrations.AddField(
            "PoolClock",
            "broker_away_at",
            models.DateTimeField(help_text="Last said by a dispatcher; a tick clears it.", null=True),
        ),
    ]
