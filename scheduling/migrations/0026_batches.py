"""Batches count what has ended, close, end, and submit a job at their end.

Columns without values to write, and indexes of rows that there are none of yet: nobody waits for long.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

from tenants.database.rls import EnableRowSecurity


def moment(about):
    return models.DateTimeField(null=True, help_text=about)


def counter(about):
    return models.PositiveIntegerField(db_default=0, help_text=about)


INDEXES = (
    models.Index(fields=["fire_at"], condition=Q(fire_at__isnull=False), name="batch_fire_at"),
    models.Index(
        fields=["id"], condition=Q(cancelled_at__isnull=False, ended_at__isnull=True), name="batch_cancelling"
    ),
    models.Index(
        fields=["waiting_job_id"],
        condition=Q(waiting_job_id__isnull=False, ended_at__isnull=True),
        name="batch_awaited",
    ),
)


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0025_dependency_circuits")]

    operations = [
        migrations.CreateModel(
            "BatchNews",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("batch_id", models.UUIDField()),
                ("state", models.CharField(blank=True, max_length=12)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={"db_table": "scheduling_batch_news"},
        ),
        EnableRowSecurity("BatchNews"),
        migrations.RunSQL(
            "ALTER TABLE scheduling_batch_news"
            " SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)",
            migrations.RunSQL.noop,
        ),
        migrations.AlterField(
            "Batch",
            "kind",
            models.CharField(blank=True, help_text="Of its jobs; empty where they are of several.", max_length=64),
        ),
        migrations.AddField("Batch", "completed", counter("Jobs that are done.")),
        migrations.AddField("Batch", "failed", counter("Jobs that were discarded or quarantined.")),
        migrations.AddField("Batch", "cancelled", counter("Jobs that were cancelled.")),
        migrations.AddField("Batch", "closed_at", moment("From then on it takes no more jobs.")),
        migrations.AddField("Batch", "ended_at", moment("When it was closed and all its jobs had ended.")),
        migrations.AddField("Batch", "cancelled_at", moment("When somebody cancelled it as a whole.")),
        migrations.AddField("Batch", "cancel_reason", models.CharField(blank=True, db_default="", max_length=200)),
        migrations.AddField(
            "Batch",
            "on_completion",
            models.JSONField(help_text="The job that is submitted when it has ended.", null=True),
        ),
        migrations.AddField("Batch", "fire_at", moment("When that job is to be submitted, or is tried again.")),
        migrations.AddField(
            "Batch",
            "fire_error",
            models.CharField(blank=True, db_default="", help_text="Why it could not be submitted.", max_length=500),
        ),
        migrations.AddField(
            "Batch", "fired_job_id", models.UUIDField(help_text="The job that was submitted at its end.", null=True)
        ),
        migrations.AddField(
            "Batch", "waiting_job_id", models.UUIDField(help_text="The job that goes on when it has ended.", null=True)
        ),
        *[migrations.AddIndex("Batch", index) for index in INDEXES],
    ]
