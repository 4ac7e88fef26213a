"""Tenant settings for the priority, the log level and the retention of jobs."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.settings.schema import Setting, SettingGroup

DEFAULT_PRIORITY = Setting(
    key="jobs.default_priority",
    title=gettext_noop("Default priority"),
    help_text=gettext_noop(
        "The priority of a job that is submitted without one. It orders the tenant's own jobs only, and stays"
        " within what the plan allows."
    ),
    schema={"type": "integer", "minimum": -100, "maximum": 100},
    default=0,
    effect=gettext_noop("Takes effect for jobs that are submitted later."),
)
LOG_LEVEL = Setting(
    key="jobs.log_level",
    title=gettext_noop("Job log level"),
    help_text=gettext_noop("Lines below this level are not kept in the logs of jobs."),
    schema={"enum": ["debug", "info", "warning", "error"]},
    default="info",
    effect=gettext_noop("Takes effect at once, for running jobs too."),
)
FINISHED_JOBS_DAYS = Setting(
    key="retention.finished_jobs_days",
    title=gettext_noop("Days that finished jobs are kept"),
    help_text=gettext_noop(
        "Completed and cancelled ones. Empty: as long as the plan keeps them, which is the longest, too."
    ),
    schema={"type": ["integer", "null"], "minimum": 1, "maximum": 3650},
    default=None,
    effect=gettext_noop("Takes effect at the next clean-up."),
    plan_limit="retention.finished_jobs_days",
)
SETTINGS = SettingGroup(gettext_noop("Jobs"), (DEFAULT_PRIORITY, LOG_LEVEL, FINISHED_JOBS_DAYS))
