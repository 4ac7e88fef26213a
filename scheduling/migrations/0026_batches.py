"""Batches count what has ended, close, end, and submit a job at their end.

What batches hold already is counted once, and they are closed. The version before this one, while it still runs, ends
jobs without news of them: `manage.py verify_state --repair` counts those anew. Batches that it makes stay open.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

from tenants.rls import EnableRowSecurity, migration_door

COUNT = """
    UPDATE scheduling_batch b SET closed_at = b.created_at, completed = found.completed + b.pruned,
        failed = found.failed, cancelled = found.cancelled,
        ended_at = CASE WHEN found.ended + b.pruned >= b.total THEN coalesce(found.last_at, b.created_at) END
    FROM (
        SELECT o.id, count(*) FILTER (WHERE j.state = 'completed') AS completed,
            count(*) FILTER (WHERE j.state IN ('discarded', 'quarantined')) AS failed,
            count(*) FILTER (WHERE j.state = 'cancelled') AS cancelled, count(j.finished_at) AS ended,
            max(j.finished_at) AS last_at
        FROM scheduling_batch o LEFT JOIN scheduling_job j ON j.tenant_id = o.tenant_id AND j.batch_id = o.id
        WHERE o.closed_at IS NULL GROUP BY 1
    ) AS found WHERE found.id = b.id
"""


def count_batches(apps, schema_editor):
    del apps
    with migration_door(schema_editor), schema_editor.connection.cursor() as cursor:
        cursor.execute(COUNT)


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
    # Indexes are built while work goes on.
    atomic = False

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
        migrations.RunPython(count_batches, migrations.RunPython.noop),
        *[AddIndexConcurrently("Batch", index) for index in INDEXES],
    ]
