"""The rights that the actor of a bulk operation had when it started."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0048_reroutes")]

    operations = [
        migrations.AddField(
            "BulkOperation",
            "may_use_secrets",
            models.BooleanField(default=True, help_text="Whether its actor had the right when it started."),
        ),
        migrations.AddField(
            "BulkOperation",
            "may_manage_webhooks",
            models.BooleanField(default=True, help_text="The same for webhooks."),
        ),
    ]
