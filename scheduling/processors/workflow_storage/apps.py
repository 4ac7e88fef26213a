"""The app of workflow runs and their nodes; it brings the kind that stores runs from outside."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class WorkflowStorageConfig(AppConfig):
    """Runs of workflows: stored, read, shown, kept as long as their jobs."""

    name = "scheduling.processors.workflow_storage"
    label = "workflow_storage"
    verbose_name = gettext_lazy("Workflow runs")
    default_auto_field = "django.db.models.BigAutoField"
    processors = ("scheduling.processors.workflow_storage.processor.WorkflowStorage",)
    api_urls = "scheduling.processors.workflow_storage.api.urls"
    file_references = "scheduling.processors.workflow_storage.references:FILE_REFERENCES"
    upkeep_tasks = "scheduling.processors.workflow_storage.upkeep:TASKS"
    state_checks = "scheduling.processors.workflow_storage.state_checks:CHECKS"
