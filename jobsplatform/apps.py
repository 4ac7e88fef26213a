"""App configurations of the project: one for start-up checks and tracing, one that makes the console the admin site."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib.admin import autodiscover
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks
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

        if platform_settings.PLATFORM_LOG_LEVEL:
            from jobsplatform.logging import receivers
            from scheduling.log_search.platform_lines import LineStore

            receivers.append(LineStore(platform_settings.PLATFORM_LOG_LEVEL).keep)
        if platform_settings.IS_TRACING:
            from jobsplatform.telemetry import start_telemetry

            start_telemetry()


class ConsoleAdminConfig(SimpleAdminConfig):
    """Configuration of Django's admin app with the console as its default site.

    Commands and workers do without the admin modules of the apps: the site's URLs and Django's checks load them.
    """

    default_site = "jobsplatform.console.site.ConsoleSite"

    def ready(self) -> None:
        """Register Django's checks of the admin."""
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(_check_console, checks.Tags.admin)


def _check_console(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[checks.CheckMessage]:
    autodiscover()
    found: list[checks.CheckMessage] = check_admin_app(app_configs, **options)
    return found
