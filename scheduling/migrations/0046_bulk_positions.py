"""Positions of bulk operations as JSON, and the batch that one cancels."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0045_tenant_upkeep_runs")]

    operations = [
        migrations.RemoveField("BulkOperation", "cursor"),
        migrations.AddField(
            "BulkOperation",
            "position",
            models.JSONField(default=dict, help_text="Where the next turn goes on."),
        ),
        migrations.AddField(
            "BulkOperation",
            "batch_id",
            models.UUIDField(help_text="The batch that is cancelled by it.", null=True),
        ),
        migrations.AddIndex(
            "BulkOperation",
            models.Index(
                condition=models.Q(("batch_id__isnull", False)), fields=["batch_id"], name="bulk_operation_of_batch"
            ),
        ),
    ]
