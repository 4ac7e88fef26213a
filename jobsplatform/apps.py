"""App configurations of the project: one for start-up checks and tracing, one that makes the console the admin site."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.translation import gettext_lazy

import jobsplatform.platform_settings  # noqa: F401 - declares the keys that this app reads

# Makes the project's Celery app the default one before any app's ready() registers a task with it.
from jobsplatform import celery  # noqa: F401 - imported for what it does
from tenants.database.platform_settings import platform_settings


class PlatformConfig(AppConfig):
    """App of the project itself, which registers start-up checks and starts tracing."""

    name = "jobsplatform"
    verbose_name = gettext_lazy("Jobs platform")

    def ready(self) -> None:
        """Register the start-up checks, and start tracing if it is configured."""
        from jobsplatform import images  # noqa: F401 - registered by being imported
        from jobsplatform.health import checks  # noqa: F401 - likewise

        if platform_settings.IS_TRACING:
            from jobsplatform.telemetry import start_telemetry

            start_telemetry()


class ConsoleAdminConfig(AdminConfig):
    """Configuration of Django's admin app with the console as its default site."""

    default_site = "jobsplatform.console.site.ConsoleSite"
