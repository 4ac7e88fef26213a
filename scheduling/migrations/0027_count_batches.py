"""What batches hold already is counted once, and they are closed.

The version before this one, while it still runs, ends jobs without news of them: `manage.py verify batches --repair`
counts those anew. Batches that it makes stay open.
"""

from django.db import migrations

from tenants.database.rls import migration_door

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


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0026_batches")]

    operations = [migrations.RunPython(count_batches, migrations.RunPython.noop)]
