"""The Django app of workflow runs, with the job kind that stores runs executed outside the platform."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

import workloads.workflows.records.platform_settings  # noqa: F401 - declares the keys that this app reads


class WorkflowStorageConfig(AppConfig):
    """App configuration of workflow runs, which are kept as long as their jobs."""

    name = "workloads.workflows.records"
    label = "workflow_storage"
    verbose_name = gettext_lazy("Workflow runs")
    default_auto_field = "django.db.models.BigAutoField"
    processors = ("workloads.workflows.records.processor.WorkflowStorage",)
    api_urls = "workloads.workflows.records.api.urls"
    file_references = "workloads.workflows.records.references:FILE_REFERENCES"
    upkeep_tasks = "workloads.workflows.records.upkeep:TASKS"
    state_checks = "workloads.workflows.records.state_checks:CHECKS"
