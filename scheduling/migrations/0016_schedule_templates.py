"""The template of a schedule. The column is nullable, so no row is written; the key's check finds no value."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.migrations.exceptions import IrreversibleError

from tenants.database.rls import AddCompositeForeignKey, cross_tenant_migration


def refuse_schedules_of_templates(apps, schema_editor):
    """Raise IrreversibleError if a schedule runs a template: without it the values would be taken for a payload."""
    with cross_tenant_migration(schema_editor):
        schedules = apps.get_model("scheduling", "Schedule").objects.using(schema_editor.connection.alias)
        if schedules.exclude(template=None).exists():
            raise IrreversibleError("Schedules run templates. Give them a payload of their own, or delete them, first.")


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0015_job_templates")]

    operations = [
        migrations.AddField(
            model_name="schedule",
            name="template",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                help_text="Runs the template's version in effect; the payload holds the values of its parameters.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="schedules",
                to="scheduling.jobtemplate",
                verbose_name="template",
            ),
        ),
        AddCompositeForeignKey("Schedule", columns=("tenant_id", "template_id"), to="scheduling.JobTemplate"),
        migrations.RunPython(migrations.RunPython.noop, refuse_schedules_of_templates),
    ]
