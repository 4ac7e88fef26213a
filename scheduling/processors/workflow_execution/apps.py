"""The plug-in's app: one line in INSTALLED_APPS adds the kind, and removes it."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class WorkflowExecutionConfig(AppConfig):
    """The kind workflow_execution with its API, admin and upkeep."""

    name = "scheduling.processors.workflow_execution"
    label = "workflow_execution"
    verbose_name = gettext_lazy("Workflows")
    default_auto_field = "django.db.models.BigAutoField"
    processors = ("scheduling.processors.workflow_execution.processor.WorkflowExecution",)
    api_urls = "scheduling.processors.workflow_execution.api.urls"
    tenant_settings = "scheduling.processors.workflow_execution.tenant_settings:SETTINGS"
    file_references = "scheduling.processors.workflow_execution.models:FILE_REFERENCES"
    versioned = ("scheduling.processors.workflow_execution.services:WORKFLOWS",)
    upkeep_tasks = "scheduling.processors.workflow_execution.upkeep:TASKS"
