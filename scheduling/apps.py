"""The scheduling app."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy

from scheduling.limits import LIMITS


class SchedulingConfig(AppConfig):
    """What and when: jobs, their fair order, their execution."""

    name = "scheduling"
    verbose_name = gettext_lazy("Scheduling")
    default_auto_field = "django.db.models.BigAutoField"
    api_urls = "scheduling.api.urls"
    is_asked_most = True
    tenant_eraser = "scheduling.services.erasure.ERASER"
    upkeep_tasks = "scheduling.services.upkeep.tasks:TASKS"
    state_checks = "scheduling.services.consistency.checks:CHECKS"
    tenant_settings = "scheduling.tenant_settings:SETTINGS"
    limits = LIMITS
    measures_usage = "scheduling.services.usage.measure_usage"
    versioned = ("scheduling.services.cfs_plans:CFS_PLANS",)

    def ready(self) -> None:
        from scheduling import checks, tasks  # noqa: F401 - registered by being imported
        from scheduling.message_signing import sign_messages
        from scheduling.observability import observe
        from scheduling.services.tenant_work import listen_to_suspensions
        from scheduling.services.upkeep.schedules import seed_after_migrate
        from scheduling.services.wakes import listen_to_tenants

        listen_to_tenants()
        listen_to_suspensions()
        sign_messages()
        observe()
        # Sent once for each app after all migrations have run; once is enough.
        post_migrate.connect(seed_after_migrate, sender=self, dispatch_uid="scheduling.upkeep_schedules")
