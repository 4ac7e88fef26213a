"""Both walls and same-tenant keys; a version is never changed, which the database sees to."""

from django.db import migrations

from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("workflow_execution", "0001_workflows"), ("tenants", "0002_row_security")]

    operations = [
        EnableRowSecurity("Workflow"),
        EnableRowSecurity("WorkflowVersion", app_may=("SELECT", "INSERT", "DELETE")),
        EnableRowSecurity("Approval"),
        EnableRowSecurity("RunValue"),
        AddCompositeForeignKey(
            "WorkflowVersion",
            columns=("tenant_id", "workflow_id"),
            to="workflow_execution.Workflow",
            on_delete="CASCADE",
        ),
        AddCompositeForeignKey(
            "Approval", columns=("tenant_id", "workflow_id"), to="workflow_execution.Workflow", on_delete="CASCADE"
        ),
    ]
