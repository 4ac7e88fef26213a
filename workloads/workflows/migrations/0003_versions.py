"""Workflows are kept in versions as plans are: one is in effect, others wait for their time or were withdrawn."""

import django.db.models.functions.datetime
from django.db import migrations, models
from django.db.models import F

from tenants.database.rls import migration_door

TABLE = "workflow_execution_workflowversion"
# The content stays as it was written, which the trigger enforces; an outcome is written once.
CREATE_POLICY = f"""
CREATE POLICY tenant_isolation_update ON {TABLE} FOR UPDATE TO PUBLIC
USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
"""
DROP_POLICY = f"DROP POLICY tenant_isolation_update ON {TABLE}"
CREATE_TRIGGER = (
    f"CREATE TRIGGER keep_version BEFORE UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION public.keep_version()"
)
DROP_TRIGGER = f"DROP TRIGGER keep_version ON {TABLE}"


def put_outcomes(apps, schema_editor):
    version = apps.get_model("workflow_execution", "WorkflowVersion")
    with migration_door(schema_editor):
        rows = version._base_manager.using(schema_editor.connection.alias)
        rows.update(effective_from=F("created_at"), outcome_at=F("created_at"))


class Migration(migrations.Migration):
    dependencies = [("workflow_execution", "0002_row_security"), ("tenants", "0010_plan_versions")]

    operations = [
        migrations.RenameField("workflow", "latest_version", "version"),
        migrations.AlterField(
            model_name="workflow",
            name="version",
            field=models.PositiveIntegerField(
                db_default=1, default=1, editable=False, help_text="Number of the version in effect."
            ),
        ),
        migrations.RenameField("workflowversion", "definition", "content"),
        migrations.RenameField("workflowversion", "note", "reason"),
        migrations.RenameField("workflowversion", "created_by", "author"),
        migrations.AlterField(
            model_name="workflowversion", name="reason", field=models.CharField(blank=True, max_length=500)
        ),
        migrations.AlterField(
            model_name="workflowversion",
            name="created_at",
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.AddField(
            model_name="workflowversion", name="before", field=models.JSONField(default=dict), preserve_default=False
        ),
        migrations.AddField(
            model_name="workflowversion", name="after", field=models.JSONField(default=dict), preserve_default=False
        ),
        migrations.AddField(
            model_name="workflowversion",
            name="effective_from",
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.AddField(
            model_name="workflowversion",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("waiting", "waits for its time"),
                    ("applied", "took effect"),
                    ("withdrawn", "withdrawn"),
                    ("refused", "refused at its time"),
                ],
                default="applied",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="workflowversion",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("waiting", "waits for its time"),
                    ("applied", "took effect"),
                    ("withdrawn", "withdrawn"),
                    ("refused", "refused at its time"),
                ],
                default="waiting",
                max_length=10,
            ),
        ),
        migrations.AddField(model_name="workflowversion", name="outcome_at", field=models.DateTimeField(null=True)),
        migrations.AddField(
            model_name="workflowversion",
            name="outcome_note",
            field=models.CharField(blank=True, default="", max_length=500),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name="workflowversion",
            index=models.Index(
                condition=models.Q(("outcome", "waiting")), fields=["effective_from"], name="workflow_version_waiting"
            ),
        ),
        migrations.RunPython(put_outcomes, migrations.RunPython.noop),
        migrations.RunSQL(CREATE_POLICY, DROP_POLICY),
        migrations.RunSQL(CREATE_TRIGGER, DROP_TRIGGER),
    ]
