"""The run that a run replays. A column without a default needs no rewrite of the table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("workflow_storage", "0003_run_cost")]

    operations = [
        migrations.AddField("workflowrun", "replay_of", models.UUIDField(null=True, verbose_name="replay of")),
    ]
