"""Kinds that workers announce, and since when a job is set aside.

Added columns without a default, and one whose default is computed once: no table is rewritten.
"""

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0037_roomy_jobs")]

    operations = [
        migrations.AddField(
            "worker",
            "kinds",
            models.JSONField(blank=True, help_text="Job kinds that it announces; empty: any kind.", null=True),
        ),
        migrations.AddField(
            "workerpool",
            "kinds",
            models.JSONField(
                editable=False, help_text="Job kinds that its live workers announce; empty: any kind.", null=True
            ),
        ),
        migrations.AddField("jobheld", "held_at", models.DateTimeField(db_default=Now())),
    ]
