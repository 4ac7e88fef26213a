"""Who is asked to yield, and how often a job has."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0011_cost_predictor")]

    operations = [
        migrations.AddField(
            "LiveExecution",
            "yield_requested_at",
            models.DateTimeField(
                help_text="Its time slice is used and somebody with less virtual time waits for the slot.", null=True
            ),
        ),
        migrations.AddField(
            "Job",
            "yield_count",
            models.PositiveIntegerField(
                db_default=0, default=0, help_text="Time slices after which it gave its slot to others."
            ),
        ),
    ]
