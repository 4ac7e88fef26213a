"""The Django app of workflows. A line in INSTALLED_APPS adds the job kind `workflow_execution`."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class WorkflowExecutionConfig(AppConfig):
    """App configuration of the job kind `workflow_execution`, with its API, admin pages and upkeep tasks."""

    name = "workloads.workflows"
    label = "workflow_execution"
    verbose_name = gettext_lazy("Workflows")
    default_auto_field = "django.db.models.BigAutoField"
    processors = ("workloads.workflows.processor.WorkflowExecution",)
    api_urls = "workloads.workflows.api.urls"
    tenant_settings = "workloads.workflows.tenant_settings:SETTINGS"
    file_references = "workloads.workflows.models:FILE_REFERENCES"
    versioned = ("workloads.workflows.service:WORKFLOWS",)
    upkeep_tasks = "workloads.workflows.upkeep:TASKS"
