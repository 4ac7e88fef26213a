"""What the sandbox of extraction offers on a worker's host, for the diagnosis."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0038_announced_kinds")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="sandbox",
            field=models.JSONField(
                blank=True,
                db_default=models.Value({}, models.JSONField()),
                default=dict,
                help_text="The layers and the protections of the extraction sandbox on its host.",
            ),
        ),
    ]
