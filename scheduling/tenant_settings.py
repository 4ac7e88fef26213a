"""Settings of a tenant for the priority, the log level and the retention of its jobs."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.settings.schema import Setting, SettingGroup

DEFAULT_PRIORITY = Setting(
    key="jobs.default_priority",
    title=gettext_noop("Default priority"),
    help_text=gettext_noop(
        "The priority of a job that is submitted without one. It orders the tenant's own jobs only, "
        "within the plan's limits."
    ),
    schema={"type": "integer", "minimum": -100, "maximum": 100},
    default=0,
    effect=gettext_noop("Takes effect for jobs submitted from now on."),
)
LOG_LEVEL = Setting(
    key="jobs.log_level",
    title=gettext_noop("Job log level"),
    help_text=gettext_noop("Lines below this level are not stored in the logs of jobs."),
    schema={"enum": ["debug", "info", "warning", "error"]},
    default="info",
    effect=gettext_noop("Takes effect at once, for running jobs too."),
)
FINISHED_JOBS_DAYS = Setting(
    key="retention.finished_jobs_days",
    title=gettext_noop("Retention of finished jobs, in days"),
    help_text=gettext_noop("Completed and cancelled jobs. Empty: the plan's retention, which is also the maximum."),
    schema={"type": ["integer", "null"], "minimum": 1, "maximum": 3650},
    default=None,
    effect=gettext_noop("Takes effect at the next pruning."),
    plan_limit="retention.finished_jobs_days",
)
SETTINGS = SettingGroup(gettext_noop("Jobs"), (DEFAULT_PRIORITY, LOG_LEVEL, FINISHED_JOBS_DAYS))
