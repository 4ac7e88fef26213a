"""The app of stored contents and uploaded files."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

from scheduling.processors.files.limits import LIMITS


class FilesConfig(AppConfig):
    """Contents by their hash, who refers to them, their upkeep, and files that tenants upload."""

    name = "scheduling.processors.files"
    label = "files"
    verbose_name = gettext_lazy("Files")
    default_auto_field = "django.db.models.BigAutoField"
    api_urls = "scheduling.processors.files.api.urls"
    page_urls = "scheduling.processors.files.urls"
    file_references = "scheduling.processors.files.models:FILE_REFERENCES"
    tenant_eraser = "scheduling.processors.files.erasure.ERASER"
    upkeep_tasks = "scheduling.processors.files.upkeep:TASKS"
    state_checks = "scheduling.processors.files.state_checks:CHECKS"
    limits = LIMITS
