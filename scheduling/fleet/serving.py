"""Base of the commands that keep running: they refuse to start if a start-up check fails."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from tenants.startup_checks import StartupCheckError, run_startup_checks


class ServingCommand(BaseCommand):
    """Command that runs the start-up checks of every process before it serves."""

    requires_system_checks = [Tags.database]
    # Ids of checks whose errors this process tolerates.
    bears: ClassVar[frozenset[str]] = frozenset()

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Run the start-up checks instead of Django's, which would not connect to any server."""
        try:
            run_startup_checks(ignored=self.bears)
        except StartupCheckError as error:
            raise CommandError(str(error)) from error
