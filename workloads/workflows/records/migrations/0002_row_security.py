"""Both walls, and same-tenant keys."""

from django.db import migrations

from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity

# A node is written two or three times, and no index changes: with room in its page the later versions stay there.
LEAVE_ROOM = """
    ALTER TABLE workflow_storage_noderun SET (fillfactor = 70);
    ALTER TABLE workflow_storage_workflowrun SET (fillfactor = 70)
"""
LEAVE_NONE = """
    ALTER TABLE workflow_storage_noderun RESET (fillfactor);
    ALTER TABLE workflow_storage_workflowrun RESET (fillfactor)
"""


class Migration(migrations.Migration):
    dependencies = [("workflow_storage", "0001_runs_and_nodes"), ("tenants", "0002_row_security")]

    operations = [
        migrations.RunSQL(LEAVE_ROOM, LEAVE_NONE),
        EnableRowSecurity("WorkflowRun"),
        EnableRowSecurity("NodeRun"),
        EnableRowSecurity("PendingWrite"),
        AddCompositeForeignKey(
            "NodeRun", columns=("tenant_id", "run_id"), to="workflow_storage.WorkflowRun", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "PendingWrite", columns=("tenant_id", "run_id"), to="workflow_storage.WorkflowRun", on_delete="CASCADE"
        ),
    ]
