"""Keys inside a tenant share its part: each has a row of its own under the tenant's.

Not atomic, because the indexes of a table in use are built concurrently; the new ones stand before the old ones go.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import F, Q

from tenants.rls import AddCompositeForeignKey, migration_door

# On the way back every key's jobs become the tenant's own again, and the tenant's counts hold what its keys' did.
LINES = ("job_ready", "job_due", "job_held", "execution_live", "wake", "settled")
GIVE_BACK = [
    *[
        f"UPDATE scheduling_{table} l SET entity_id = e.parent_id FROM scheduling_schedulingentity e"
        " WHERE e.id = l.entity_id AND e.parent_id IS NOT NULL"
        for table in LINES
    ],
    """
    UPDATE scheduling_schedulingentity SET in_flight = in_flight + keys_in_flight, waiting = waiting + keys_waiting,
        keys_in_flight = 0, keys_waiting = 0
    WHERE parent_id IS NULL AND (keys_in_flight <> 0 OR keys_waiting <> 0)
    """,
    "DELETE FROM scheduling_schedulingentity WHERE parent_id IS NOT NULL",
]
# Built first, so that the constraint takes an index that is there: the table is locked for a moment only.
CREATE_UNIQUE = (
    "CREATE UNIQUE INDEX CONCURRENTLY entity_line ON scheduling_schedulingentity (tenant_id, queue_id, fair_key)"
)
DROP_UNIQUE = "DROP INDEX CONCURRENTLY IF EXISTS entity_line"
SWAP_CONSTRAINTS = """
    ALTER TABLE scheduling_schedulingentity
        DROP CONSTRAINT entity_tenant_queue, ADD CONSTRAINT entity_line UNIQUE USING INDEX entity_line
"""
SWAP_BACK = """
    ALTER TABLE scheduling_schedulingentity
        DROP CONSTRAINT entity_line, ADD CONSTRAINT entity_tenant_queue UNIQUE (tenant_id, queue_id)
"""
IN_FLIGHT = F("in_flight") + F("keys_in_flight")
OF_TENANTS = Q(is_runnable=True, parent=None)
OF_KEYS = Q(is_runnable=True, parent__isnull=False)


def give_lines_back(apps, schema_editor):
    del apps
    with migration_door(schema_editor), schema_editor.connection.cursor() as cursor:
        for statement in GIVE_BACK:
            cursor.execute(statement)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("scheduling", "0009_tracing_and_canaries")]

    operations = [
        migrations.AddField(
            "SchedulingEntity", "fair_key", models.CharField(blank=True, db_default="", max_length=100)
        ),
        migrations.AddField("SchedulingEntity", "own_vruntime", models.BigIntegerField(db_default=0)),
        migrations.AddField("SchedulingEntity", "virtual_time", models.BigIntegerField(db_default=0)),
        migrations.AddField("SchedulingEntity", "keys_in_flight", models.IntegerField(db_default=0)),
        migrations.AddField("SchedulingEntity", "keys_waiting", models.IntegerField(db_default=0)),
        migrations.AddField(
            "SchedulingEntity",
            "own_rank",
            models.BigIntegerField(help_text="Rank of its first ready job without a key.", null=True),
        ),
        migrations.AddField(
            "SchedulingEntity",
            "parent",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                help_text="The tenant's own row in the queue, for a row of one of its keys.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="keys",
                to="scheduling.schedulingentity",
            ),
        ),
        migrations.RunSQL(CREATE_UNIQUE, DROP_UNIQUE),
        migrations.RunSQL(
            SWAP_CONSTRAINTS,
            SWAP_BACK,
            state_operations=[
                migrations.RemoveConstraint("SchedulingEntity", "entity_tenant_queue"),
                migrations.AddConstraint(
                    "SchedulingEntity",
                    models.UniqueConstraint(fields=("tenant", "queue", "fair_key"), name="entity_line"),
                ),
            ],
        ),
        AddCompositeForeignKey(
            "SchedulingEntity", columns=("tenant_id", "parent_id"), to="scheduling.SchedulingEntity"
        ),
        AddIndexConcurrently(
            "SchedulingEntity",
            models.Index(
                F("queue"),
                F("vruntime"),
                IN_FLIGHT,
                F("head_rank"),
                F("id"),
                condition=OF_TENANTS,
                name="entity_tenant_order",
            ),
        ),
        AddIndexConcurrently(
            "SchedulingEntity",
            models.Index(
                F("queue"), F("head_rank"), IN_FLIGHT, F("id"), condition=OF_TENANTS, name="entity_tenant_fifo"
            ),
        ),
        AddIndexConcurrently(
            "SchedulingEntity",
            models.Index(
                fields=["parent", "vruntime", "in_flight", "head_rank", "id"],
                condition=OF_KEYS,
                name="entity_key_order",
            ),
        ),
        AddIndexConcurrently(
            "SchedulingEntity",
            models.Index(fields=["parent", "head_rank", "in_flight", "id"], condition=OF_KEYS, name="entity_key_fifo"),
        ),
        RemoveIndexConcurrently("SchedulingEntity", "entity_fair_order"),
        RemoveIndexConcurrently("SchedulingEntity", "entity_fifo_order"),
        # Last, so that it is the first on the way back.
        migrations.RunPython(migrations.RunPython.noop, give_lines_back),
    ]
