"""The keys of JOBS_PLATFORM that pipelines read."""

from __future__ import annotations

from tenants.database.platform_settings import PlatformSetting, declare

declare(
    PlatformSetting(
        "PIPELINE_THREADS",
        10,
        "Entities of one run that a worker's child processes concurrently.",
        minimum=1,
        maximum=100,
    ),
    PlatformSetting("PIPELINE_RUN_DAYS", 90, "Days for which ended runs are kept.", minimum=1),
)
