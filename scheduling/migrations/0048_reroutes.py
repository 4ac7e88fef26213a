"""Reroutes are bulk operations; the table of moves of the backlog goes."""

from django.db import migrations, models

from tenants.database.rls import DisableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0047_payload_patches")]

    operations = [
        DisableRowSecurity("BacklogMove", column=None, app_may=["SELECT"]),
        migrations.DeleteModel("BacklogMove"),
        # The choices alone: no statement.
        migrations.AlterField(
            "BulkOperation",
            "operation",
            models.CharField(
                choices=[
                    ("cancel", "cancel"),
                    ("retry", "retry"),
                    ("requeue", "requeue dead letters"),
                    ("discard", "discard"),
                    ("reprioritise", "change the priority"),
                    ("move_queue", "move to another queue"),
                    ("reroute", "move to the queues that routing names"),
                ],
                max_length=12,
            ),
        ),
    ]
