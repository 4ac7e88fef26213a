"""The condition of a batch's completion job in a column of its own, because the job is sealed."""

from django.db import migrations, models

from tenants.database.rls import cross_tenant_migration

_FILL = "UPDATE scheduling_batch SET only_if_completed = true WHERE on_completion ->> 'only_if_completed' = 'true'"


def fill_condition(apps, schema_editor):
    with cross_tenant_migration(schema_editor):
        schema_editor.execute(_FILL)


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0043_evidence_packs")]

    operations = [
        migrations.AddField(
            "batch",
            "only_if_completed",
            models.BooleanField(db_default=False, editable=False, verbose_name="only if completed"),
        ),
        migrations.RunPython(fill_condition, migrations.RunPython.noop),
    ]
