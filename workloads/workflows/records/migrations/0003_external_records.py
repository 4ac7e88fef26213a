"""Mark runs recorded outside the platform, and drop the writes that waited for jobs."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("workflow_storage", "0002_row_security")]

    operations = [
        migrations.AddField("WorkflowRun", "is_external", models.BooleanField(db_default=False)),
        migrations.DeleteModel("PendingWrite"),
    ]
