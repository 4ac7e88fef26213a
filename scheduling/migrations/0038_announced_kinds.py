"""Kinds that workers announce, and those that none announces: added columns, of which no table is rewritten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0037_roomy_jobs")]

    operations = [
        migrations.AddField(
            "worker",
            "kinds",
            models.JSONField(blank=True, help_text="Job kinds that it announces; empty: any kind.", null=True),
        ),
        migrations.AddField("workerpool", "kinds", models.JSONField(editable=False, null=True)),
        migrations.AddField(
            "workerpool",
            "unknown_kinds",
            models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict, editable=False),
        ),
    ]
