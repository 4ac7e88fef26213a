"""The Django app of model endpoints. The package declares no job kinds."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

import workloads.model_endpoints.platform_settings  # noqa: F401 - declares the keys of the platform's endpoint


class ModelEndpointsConfig(AppConfig):
    """App configuration of model endpoints, with their API, admin pages and upkeep tasks."""

    name = "workloads.model_endpoints"
    label = "model_endpoints"
    verbose_name = gettext_lazy("Model endpoints")
    default_auto_field = "django.db.models.BigAutoField"
    tenant_settings = "workloads.model_endpoints.tenant_settings:SETTINGS"
    api_urls = "workloads.model_endpoints.api.urls"
    upkeep_tasks = "workloads.model_endpoints.upkeep:TASKS"
