"""The scheduling app."""

from __future__ import annotations

from django.apps import AppConfig


class SchedulingConfig(AppConfig):
    """What and when: jobs, their fair order, their execution."""

    name = "scheduling"
    verbose_name = "Scheduling"
    default_auto_field = "django.db.models.BigAutoField"
    api_urls = "scheduling.api.urls"

    def ready(self) -> None:
        from scheduling import checks, tasks  # noqa: F401 - registered by being imported
        from scheduling.observability import observe
        from scheduling.services.wakes import listen_to_tenants

        listen_to_tenants()
        observe()
