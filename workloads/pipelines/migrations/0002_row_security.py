"""Both walls and same-tenant keys; a saved version cannot be written again."""

from django.db import migrations

from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity

KEPT = ["SELECT", "INSERT", "DELETE"]


class Migration(migrations.Migration):
    dependencies = [("rag_pipeline", "0001_pipelines_and_runs"), ("tenants", "0002_row_security")]

    operations = [
        EnableRowSecurity("Pipeline"),
        EnableRowSecurity("PipelineVersion", app_may=KEPT, platform_may=KEPT),
        EnableRowSecurity("PipelineRun"),
        EnableRowSecurity("PipelineEntity"),
        AddCompositeForeignKey(
            "PipelineVersion",
            columns=("tenant_id", "pipeline_id"),
            to="rag_pipeline.Pipeline",
            on_delete="CASCADE",
        ),
        AddCompositeForeignKey(
            "PipelineRun", columns=("tenant_id", "pipeline_id"), to="rag_pipeline.Pipeline", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "PipelineRun", columns=("tenant_id", "version_id"), to="rag_pipeline.PipelineVersion", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "PipelineEntity", columns=("tenant_id", "run_id"), to="rag_pipeline.PipelineRun", on_delete="CASCADE"
        ),
    ]
