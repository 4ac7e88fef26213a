"""Configuration of the scheduling app."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy

import scheduling.platform_settings  # noqa: F401 - declares the keys that this app reads
from scheduling.limits.declared import LIMITS


class SchedulingConfig(AppConfig):
    """App of jobs, the fair order of their dispatch, and their execution."""

    name = "scheduling"
    verbose_name = gettext_lazy("Scheduling")
    default_auto_field = "django.db.models.BigAutoField"
    api_urls = "scheduling.api.urls"
    is_asked_most = True
    tenant_eraser = "scheduling.upkeep.erasure.ERASER"
    upkeep_tasks = "scheduling.upkeep.tasks:TASKS"
    state_checks = "scheduling.consistency.checks:CHECKS"
    tenant_settings = "scheduling.tenant_settings:SETTINGS"
    limits = LIMITS
    processors = (
        "scheduling.alerts.processor.AlertDelivery",
        "scheduling.compensation.processor.Reconciliation",
        "scheduling.outbox.processor.OutboxDelivery",
    )
    outbox_adapters = ("scheduling.outbox.redis_stream.RedisStreamAdapter",)
    narrowed_home = "admin:scheduling_job_changelist"
    narrowed_routes = (
        *(
            f"job-{name}"
            for name in (
                "list",
                "detail",
                "wait",
                "events",
                "executions",
                "cancel",
                "suspend",
                "resume",
                "retry",
                "bulk",
            )
        ),
        *(f"job-{name}" for name in ("logs", "logs-download", "notes", "artifacts", "artifact")),
        *(
            f"admin:scheduling_job_{name}"
            for name in ("changelist", "change", "act", "body", "facets", "news", "export", "log", "log_download")
        ),
        *(f"admin:scheduling_job_{name}" for name in ("add", "submit", "submit_preview", "payload", "notes", "replay")),
    )
    web_preload = "scheduling.jobs.routing.strategies.load_strategies"
    measures_usage = "scheduling.limits.usage.measure_usage"
    approval_acts = ("scheduling.approvals.acts.ACTS",)
    versioned = ("scheduling.plans.service:CFS_PLANS", "scheduling.jobs.job_templates.service:TEMPLATES")

    def ready(self) -> None:
        from scheduling import checks  # noqa: F401 - registers on import
        from scheduling.approvals.mails import connect_approval_mails
        from scheduling.celery import tasks  # noqa: F401 - registers on import
        from scheduling.celery.publishing import sign_messages
        from scheduling.dispatch.wakes import connect_tenant_signals
        from scheduling.execution.lending import refuse_connection
        from scheduling.load.shedding import refuse_if_off
        from scheduling.log_search.job_filter import find_jobs_by_log
        from scheduling.observability import connect_observers
        from scheduling.regions.service import connect_region_signals
        from scheduling.stops.tenant_work import connect_suspension_signals
        from scheduling.upkeep.schedules import seed_after_migrate
        from tenants.requests.features import guard_features

        find_jobs_by_log()
        guard_features(refuse_if_off)
        connect_tenant_signals()
        connect_suspension_signals()
        connect_region_signals()
        connect_approval_mails()
        sign_messages()
        connect_observers()
        connection_created.connect(refuse_connection, dispatch_uid="scheduling.lending")
        # Sent once for each app after all migrations have run; one is enough.
        post_migrate.connect(seed_after_migrate, sender=self, dispatch_uid="scheduling.upkeep_schedules")
