"""Executions that travel in one message."""

from django.contrib.postgres.functions import RandomUUID
from django.db import migrations, models

from tenants.database.rls import migration_door

# What was in flight before, and what a process of the version before still hands out, is a message of its own: each
# row gets an id that no other has. Both tables hold what is in flight only, so writing them anew takes a moment.
ADD_TO_SETTLED = "ALTER TABLE scheduling_settled ADD COLUMN message_id uuid NOT NULL DEFAULT gen_random_uuid()"
TAKE_FROM_SETTLED = "ALTER TABLE scheduling_settled DROP COLUMN message_id"
# On the way back every execution counts for itself again, as the version before takes it off when it ends. While
# both tables are locked nobody hands out, settles or folds.
LOCK = "LOCK TABLE scheduling_execution_live, scheduling_settled IN ACCESS EXCLUSIVE MODE"
RECOUNT = [
    """
    WITH counted AS (
        SELECT entity_id, count(*) AS executions FROM (
            SELECT entity_id FROM scheduling_execution_live UNION ALL SELECT entity_id FROM scheduling_settled
        ) AS open GROUP BY 1
    )
    UPDATE scheduling_schedulingentity e SET in_flight = coalesce(c.executions, 0)
    FROM scheduling_schedulingentity line LEFT JOIN counted c ON c.entity_id = line.id
    WHERE e.id = line.id AND e.in_flight <> coalesce(c.executions, 0)
    """,
    """
    UPDATE scheduling_schedulingentity e SET keys_in_flight = k.in_flight
    FROM (SELECT parent_id, sum(in_flight) AS in_flight FROM scheduling_schedulingentity
        WHERE parent_id IS NOT NULL GROUP BY 1) k
    WHERE e.id = k.parent_id AND e.keys_in_flight <> k.in_flight
    """,
    """
    WITH counted AS (
        SELECT tenant_id, count(*) AS executions FROM (
            SELECT tenant_id FROM scheduling_execution_live UNION ALL SELECT tenant_id FROM scheduling_settled
        ) AS open GROUP BY 1
    )
    UPDATE scheduling_tenant_capacity t SET in_flight = coalesce(c.executions, 0)
    FROM scheduling_tenant_capacity own LEFT JOIN counted c ON c.tenant_id = own.tenant_id
    WHERE t.tenant_id = own.tenant_id AND t.in_flight <> coalesce(c.executions, 0)
    """,
]
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


def count_executions(apps, schema_editor):
    del apps
    schema_editor.execute(LOCK)
    with migration_door(schema_editor), schema_editor.connection.cursor() as cursor:
        for statement in RECOUNT:
            cursor.execute(statement)


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
        # Last, so that it is the first on the way back.
        migrations.RunPython(migrations.RunPython.noop, count_executions),
    ]
