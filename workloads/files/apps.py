"""The Django app of stored contents and uploaded files."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

import workloads.files.platform_settings  # noqa: F401 - declares the keys that this app reads
from workloads.files.limits import LIMITS


class FilesConfig(AppConfig):
    """App configuration of stored contents, with their references and upkeep, and of uploaded files."""

    name = "workloads.files"
    label = "files"
    verbose_name = gettext_lazy("Files")
    default_auto_field = "django.db.models.BigAutoField"
    api_urls = "workloads.files.api.urls"
    page_urls = "workloads.files.urls"
    file_references = "workloads.files.models:FILE_REFERENCES"
    backup_files = "workloads.files.backups.READ_CONTENTS"
    artifact_store = "workloads.files.artifacts:STORE"
    tenant_eraser = "workloads.files.erasure.ERASER"
    upkeep_tasks = "workloads.files.upkeep:TASKS"
    state_checks = "workloads.files.state_checks:CHECKS"
    limits = LIMITS
