"""What is predicted for all of a job, where its hand-out is charged by slices.

`predicted_us` stays what is charged, so a process of the version before settles such an execution right.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0020_backlog_again")]

    operations = [
        migrations.AlterField(
            "LiveExecution",
            "predicted_us",
            models.BigIntegerField(help_text="Charged in advance, to be corrected when it ends."),
        ),
        migrations.AddField(
            "LiveExecution",
            "whole_us",
            models.BigIntegerField(help_text="Predicted for all of it, where that is not what is charged.", null=True),
        ),
        migrations.RunSQL(
            "ALTER TABLE scheduling_settled ADD COLUMN whole_us bigint",
            "ALTER TABLE scheduling_settled DROP COLUMN whole_us",
        ),
        migrations.AlterField(
            "Charge",
            "reason",
            models.CharField(
                max_length=10,
                choices=[
                    ("predicted", "predicted at dispatch"),
                    ("slice", "another slice of one that goes on"),
                    ("corrected", "corrected to the measured time"),
                    ("closing", "closing of rows that were pruned"),
                ],
            ),
        ),
    ]
