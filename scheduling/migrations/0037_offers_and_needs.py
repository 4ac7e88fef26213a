"""What pools offer and queues need. No column is added by a rewrite or a scan; a few rows of these two tables change.

The column `resource_class` of queues stays in the table with a default, because processes of the former release read
and write it while the new ones start. A later release drops it.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from tenants.database.rls import cross_tenant_migration

NAMES = [("cpu", "CPU"), ("io", "I/O"), ("memory", "memory"), ("gpu", "GPU")]

# The former class of a queue was a label, so that its pool had no influence on it: pools offer what their queues need.
# The jobs of an I/O pool wait, whatever the label.
FILL = """
UPDATE scheduling_workerpool SET offers = '{io}' WHERE resource_class = 'io';
UPDATE scheduling_queue q SET needs = CASE p.resource_class
    WHEN 'io' THEN '{io}' ELSE string_to_array(q.resource_class, '+')::varchar(6)[] END
FROM scheduling_workerpool p WHERE p.id = q.pool_id;
UPDATE scheduling_workerpool p SET offers = '{cpu,io,memory}' WHERE p.resource_class = 'cpu' AND EXISTS (
    SELECT FROM scheduling_queue q WHERE q.pool_id = p.id AND 'io' = ANY(q.needs));
"""
# The former class cannot express a GPU.
EMPTY = """
UPDATE scheduling_queue SET resource_class = CASE
    WHEN 'memory' = ANY(needs) THEN 'cpu+memory' WHEN 'cpu' = ANY(needs) THEN 'cpu'
    WHEN 'io' = ANY(needs) THEN 'io' ELSE 'cpu' END;
"""


def run(statements):
    def run_statements(apps, schema_editor):
        with cross_tenant_migration(schema_editor):
            schema_editor.execute(statements)

    return run_statements


def _resources(name, **options):
    return ArrayField(
        models.CharField(choices=NAMES, max_length=6), blank=True, size=None, verbose_name=name, **options
    )


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0036_sites"),
    ]

    operations = [
        migrations.AddField(
            "workerpool",
            "offers",
            _resources(
                "offers",
                db_default=["cpu", "memory"],
                help_text="What its queues and their kinds may need; none: CPU and memory, or I/O, by the resource class.",
            ),
        ),
        migrations.AddField(
            "queue",
            "needs",
            _resources(
                "needs",
                db_default=["cpu"],
                help_text="What its pool must offer; none: the pool's resource class.",
            ),
        ),
        migrations.RunPython(run(FILL), run(EMPTY)),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "ALTER TABLE scheduling_queue ALTER COLUMN resource_class SET DEFAULT 'cpu'",
                    "ALTER TABLE scheduling_queue ALTER COLUMN resource_class DROP DEFAULT",
                )
            ],
            state_operations=[migrations.RemoveField("queue", "resource_class")],
        ),
    ]
