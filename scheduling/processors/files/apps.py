"""The app of stored contents."""

from __future__ import annotations

from django.apps import AppConfig

from scheduling.processors.files.limits import LIMITS


class FilesConfig(AppConfig):
    """Contents by their hash, who refers to them, and their upkeep."""

    name = "scheduling.processors.files"
    label = "files"
    verbose_name = "Files"
    default_auto_field = "django.db.models.BigAutoField"
    tenant_eraser = "scheduling.processors.files.erasure.ERASER"
    upkeep_tasks = "scheduling.processors.files.upkeep:TASKS"
    state_checks = "scheduling.processors.files.state_checks:CHECKS"
    limits = LIMITS
