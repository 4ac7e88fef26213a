"""Tenants whose rows another transaction holds: an added column, for which no table is rewritten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0041_publishing_faults")]

    operations = [
        migrations.AddField(
            "poolclock",
            "locked_tenants",
            models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict, editable=False),
        ),
    ]
