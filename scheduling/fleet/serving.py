"""Base of the management commands that run until they are stopped; they refuse to start if a start-up check fails."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from tenants.startup_checks import StartupCheckError, run_startup_checks


class ServingCommand(BaseCommand):
    """Management command that runs the start-up checks before it serves.

    ``bears`` are the ids of checks whose failure it ignores.
    """

    requires_system_checks = [Tags.database]
    # Ids of checks whose errors this process tolerates.
    bears: ClassVar[frozenset[str]] = frozenset()

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Run the start-up checks instead of Django's, which do not connect to the servers."""
        try:
            run_startup_checks(ignored=self.bears)
        except StartupCheckError as error:
            raise CommandError(str(error)) from error
