"""What a bulk operation merges into the payloads of the jobs that it replays."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0046_bulk_positions")]

    operations = [
        migrations.AddField(
            "BulkOperation",
            "payload_patch",
            models.JSONField(help_text="Merged into the payload of each job that is replayed.", null=True),
        ),
    ]
