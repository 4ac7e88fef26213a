"""Keys inside a tenant share its part: each has a row of its own under the tenant's.

Not atomic, because the indexes of a table in use are built concurrently; the new ones stand before the old ones go. So
every step may be done again, there and back: interrupted anywhere, the migration is run once more.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import F, Q

from tenants.database.rls import migration_door

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
TABLE = "scheduling_schedulingentity"
ADD_COLUMNS = f"""
    ALTER TABLE {TABLE}
        ADD COLUMN IF NOT EXISTS fair_key varchar(100) NOT NULL DEFAULT '',
        ADD COLUMN IF NOT EXISTS own_vruntime bigint NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS virtual_time bigint NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS keys_in_flight integer NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS keys_waiting integer NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS own_rank bigint NULL,
        ADD COLUMN IF NOT EXISTS parent_id bigint NULL
"""
DROP_COLUMNS = f"""
    ALTER TABLE {TABLE}
        DROP COLUMN IF EXISTS parent_id, DROP COLUMN IF EXISTS own_rank, DROP COLUMN IF EXISTS keys_waiting,
        DROP COLUMN IF EXISTS keys_in_flight, DROP COLUMN IF EXISTS virtual_time, DROP COLUMN IF EXISTS own_vruntime,
        DROP COLUMN IF EXISTS fair_key
"""
HAS_CONSTRAINT = f"SELECT FROM pg_constraint WHERE conrelid = '{TABLE}'::regclass AND conname = %s"
# Built first, so that the constraint takes an index that is there: the table is locked for a moment only.
CREATE_UNIQUE = f"CREATE UNIQUE INDEX CONCURRENTLY entity_line ON {TABLE} (tenant_id, queue_id, fair_key)"
SWAP_CONSTRAINTS = f"""
    ALTER TABLE {TABLE} DROP CONSTRAINT entity_tenant_queue, ADD CONSTRAINT entity_line UNIQUE USING INDEX entity_line
"""
SWAP_BACK = f"""
    ALTER TABLE {TABLE} DROP CONSTRAINT entity_line, ADD CONSTRAINT entity_tenant_queue UNIQUE (tenant_id, queue_id)
"""
# As AddCompositeForeignKey names and makes it.
PARENT = "scheduling_schedulingentity_parent_id_same_tenant"
TIE_PARENT = f"""
    ALTER TABLE {TABLE} DROP CONSTRAINT IF EXISTS {PARENT}, ADD CONSTRAINT {PARENT}
        FOREIGN KEY (tenant_id, parent_id) REFERENCES {TABLE} (tenant_id, id) DEFERRABLE INITIALLY IMMEDIATE
"""
UNTIE_PARENT = f"ALTER TABLE {TABLE} DROP CONSTRAINT IF EXISTS {PARENT}"
IN_FLIGHT = F("in_flight") + F("keys_in_flight")
OF_TENANTS = Q(is_runnable=True, parent=None)
OF_KEYS = Q(is_runnable=True, parent__isnull=False)


def has_constraint(schema_editor, name):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(HAS_CONSTRAINT, [name])
        return cursor.fetchone() is not None


def swap_constraints(apps, schema_editor):
    del apps
    if not has_constraint(schema_editor, "entity_line"):
        # An index that was interrupted is there, and is of no use.
        schema_editor.execute("DROP INDEX CONCURRENTLY IF EXISTS entity_line")
        schema_editor.execute(CREATE_UNIQUE)
        schema_editor.execute(SWAP_CONSTRAINTS)


def swap_back(apps, schema_editor):
    del apps
    if has_constraint(schema_editor, "entity_line"):
        schema_editor.execute(SWAP_BACK)


def drop_leftover(name, *, on_the_way_back=False):
    """Before an index is built concurrently: what an interrupted try has left of it would be in the way."""
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {name}"
    noop = migrations.RunSQL.noop
    return migrations.RunSQL(noop, drop) if on_the_way_back else migrations.RunSQL(drop, noop)


def has_columns(schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'parent_id' AND NOT attisdropped",
            [TABLE],
        )
        return cursor.fetchone() is not None


def give_lines_back(apps, schema_editor):
    del apps
    if not has_columns(schema_editor):
        return
    with migration_door(schema_editor), schema_editor.connection.cursor() as cursor:
        for statement in GIVE_BACK:
            cursor.execute(statement)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("scheduling", "0009_tracing_and_canaries")]

    operations = [
        migrations.RunSQL(
            ADD_COLUMNS,
            DROP_COLUMNS,
            state_operations=[
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
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(swap_constraints, swap_back)],
            state_operations=[
                migrations.RemoveConstraint("SchedulingEntity", "entity_tenant_queue"),
                migrations.AddConstraint(
                    "SchedulingEntity",
                    models.UniqueConstraint(fields=("tenant", "queue", "fair_key"), name="entity_line"),
                ),
            ],
        ),
        migrations.RunSQL(TIE_PARENT, UNTIE_PARENT),
        drop_leftover("entity_tenant_order"),
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
        drop_leftover("entity_tenant_fifo"),
        AddIndexConcurrently(
            "SchedulingEntity",
            models.Index(
                F("queue"), F("head_rank"), IN_FLIGHT, F("id"), condition=OF_TENANTS, name="entity_tenant_fifo"
            ),
        ),
        drop_leftover("entity_key_order"),
        AddIndexConcurrently(
            "SchedulingEntity",
            models.Index(
                fields=["parent", "vruntime", "in_flight", "head_rank", "id"],
                condition=OF_KEYS,
                name="entity_key_order",
            ),
        ),
        drop_leftover("entity_key_fifo"),
        AddIndexConcurrently(
            "SchedulingEntity",
            models.Index(fields=["parent", "head_rank", "in_flight", "id"], condition=OF_KEYS, name="entity_key_fifo"),
        ),
        RemoveIndexConcurrently("SchedulingEntity", "entity_fair_order"),
        drop_leftover("entity_fair_order", on_the_way_back=True),
        RemoveIndexConcurrently("SchedulingEntity", "entity_fifo_order"),
        drop_leftover("entity_fifo_order", on_the_way_back=True),
        # Last, so that it is the first on the way back.
        migrations.RunPython(migrations.RunPython.noop, give_lines_back),
    ]
