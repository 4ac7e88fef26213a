"""Declarations of the keys of the setting JOBS_PLATFORM that this package reads."""

from tenants.database.platform_settings import PlatformSetting, declare

declare(
    PlatformSetting("IMAGE", "", "The image that the process runs in, for `check --deploy`."),
    PlatformSetting("METRICS_TENANTS", 50, "Number of the busiest tenants in `/metrics`; 0: none."),
    PlatformSetting(
        "IS_TRACING", default=False, help_text="Whether OpenTelemetry exports its signals.", has_variable=False
    ),
)
