"""What tenants have used."""

from django.db import migrations, models

from tenants.database.rls import migration_door

# Both are filled by rows from now on: a column without a rewrite, and a default that is no rewrite either.
ADD_TO_SETTLED = """
    ALTER TABLE scheduling_settled ADD COLUMN peak_memory_kib bigint,
        ADD COLUMN ended_at timestamptz NOT NULL DEFAULT now()
"""
TAKE_FROM_SETTLED = "ALTER TABLE scheduling_settled DROP COLUMN peak_memory_kib, DROP COLUMN ended_at"
# What ended in this month before anybody counted; what no tick has folded yet is counted by the tick.
COUNT_MONTH = """
    INSERT INTO tenants_tenantusage (tenant_id, key, period, amount)
    SELECT tenant_id, 'worker_seconds_per_month', date_trunc('month', now() AT TIME ZONE 'UTC')::date, sum(us)
    FROM (
        SELECT tenant_id, measured_us AS us FROM scheduling_execution
        WHERE ended_at >= date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
        UNION ALL SELECT tenant_id, -measured_us FROM scheduling_settled
    ) AS entries
    GROUP BY tenant_id HAVING sum(us) > 0
    ON CONFLICT (tenant_id, key, period) DO NOTHING
"""


def count_month(apps, schema_editor):
    with migration_door(schema_editor), schema_editor.connection.cursor() as cursor:
        cursor.execute(COUNT_MONTH)


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0006_pauses"), ("tenants", "0006_limits")]

    operations = [
        migrations.AddField(
            "execution",
            "peak_memory_kib",
            models.BigIntegerField(
                null=True, help_text="Most resident memory of its process, KiB; empty where the system does not tell."
            ),
        ),
        # The table is no business of Django's migrations; its model is.
        migrations.RunSQL(ADD_TO_SETTLED, TAKE_FROM_SETTLED),
        migrations.RunPython(count_month, migrations.RunPython.noop),
    ]
