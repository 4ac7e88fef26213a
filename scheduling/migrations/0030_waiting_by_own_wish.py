"""Jobs that wait by their own wish: for a time, or until they are woken.

Columns with constant defaults or none: the tables are not rewritten. The index is built on what is suspended alone.
"""

from django.db import migrations, models

_OUTCOMES = [
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
    ("snoozed", "Snoozed"),
    ("put_off", "Put Off"),
]


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0025_dependency_circuits")]

    operations = [
        migrations.AddField(model_name="jobsuspended", name="is_own", field=models.BooleanField(db_default=False)),
        migrations.AddField(model_name="jobsuspended", name="wake_at", field=models.DateTimeField(null=True)),
        migrations.AddIndex(
            model_name="jobsuspended",
            index=models.Index(
                fields=["wake_at"], condition=models.Q(wake_at__isnull=False), name="job_suspended_wake_at"
            ),
        ),
        migrations.AddField(
            model_name="liveexecution",
            name="wake_requested_at",
            field=models.DateTimeField(
                help_text="What it may be about to wait for has come: it is not suspended, but goes on.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="execution", name="outcome", field=models.CharField(choices=_OUTCOMES, max_length=12)
        ),
        migrations.AlterField(
            model_name="kindhour",
            name="outcome",
            field=models.CharField(blank=True, choices=_OUTCOMES, max_length=12),
        ),
    ]
