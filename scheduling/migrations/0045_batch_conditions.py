"""The condition of open batches' completion jobs, in a transaction of its own: the table is not locked meanwhile."""

from django.db import migrations

from tenants.database.rls import cross_tenant_migration

_FILL = """
UPDATE scheduling_batch SET only_if_completed = true
WHERE fired_job_id IS NULL AND on_completion ->> 'only_if_completed' = 'true'
"""


def fill_condition(apps, schema_editor):
    with cross_tenant_migration(schema_editor):
        schema_editor.execute(_FILL)


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0044_sealed_completions")]

    operations = [migrations.RunPython(fill_condition, migrations.RunPython.noop)]
