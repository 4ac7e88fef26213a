"""Executions that travel in one message."""

from django.contrib.postgres.functions import RandomUUID
from django.db import migrations, models

# What was in flight before, and what a process of the version before still hands out, is a message of its own: each
# row gets an id that no other has. Both tables hold what is in flight only, so writing them anew takes a moment.
ADD_TO_SETTLED = "ALTER TABLE scheduling_settled ADD COLUMN message_id uuid NOT NULL DEFAULT gen_random_uuid()"
TAKE_FROM_SETTLED = "ALTER TABLE scheduling_settled DROP COLUMN message_id"
OUTCOMES = [
    ("completed", "Completed"),
    ("failed", "Failed"),
    ("timed_out", "Timed Out"),
    ("yielded", "Yielded"),
    ("shutdown", "Shutdown"),
    ("crashed", "Crashed"),
    ("cancelled", "Cancelled"),
    ("expired", "Expired"),
    ("unpublished", "Unpublished"),
    ("returned", "Returned"),
]


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0012_time_slices")]

    operations = [
        migrations.AddField(
            "LiveExecution",
            "message_id",
            models.UUIDField(
                db_default=RandomUUID(),
                help_text="The message it travels in; small jobs share one, and with it one slot.",
            ),
        ),
        migrations.RunSQL(ADD_TO_SETTLED, TAKE_FROM_SETTLED),
        migrations.AddField(
            "Job",
            "travels_alone",
            models.BooleanField(
                db_default=False,
                editable=False,
                help_text="Its message killed a worker: it is merged with no other, so that the culprit is found.",
            ),
        ),
        migrations.AddField("JobReady", "travels_alone", models.BooleanField(db_default=False)),
        migrations.AddField("JobHeld", "travels_alone", models.BooleanField(db_default=False)),
        migrations.AlterField("Execution", "outcome", models.CharField(max_length=12, choices=OUTCOMES)),
        migrations.AlterField("KindHour", "outcome", models.CharField(max_length=12, choices=OUTCOMES, blank=True)),
    ]
