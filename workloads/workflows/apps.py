"""App of workflows: one line in INSTALLED_APPS adds the kind, and removes it."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

import workloads.model_endpoints.platform_settings  # noqa: F401 - declares the keys that its nodes read


class WorkflowExecutionConfig(AppConfig):
    """The kind workflow_execution with its API, admin and upkeep."""

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
