"""What the commands that keep running have in common: they refuse to start where they could only do harm."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from tenants.starting import UnfitStartError, require_fit_start


class ServingCommand(BaseCommand):
    """Asks what every process asks before it serves."""

    requires_system_checks = [Tags.database]
    # Errors of these checks, by id, in spite of which the process does good.
    bears: ClassVar[frozenset[str]] = frozenset()

    def check(self, *args: Any, **kwargs: Any) -> None:
        """The start-up checks in place of Django's own, which would ask no server."""
        try:
            require_fit_start(bears=self.bears)
        except UnfitStartError as error:
            raise CommandError(str(error)) from error
