"""What the commands that keep running have in common: they refuse to start where they could only do harm."""

from __future__ import annotations

from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from tenants.pending_migrations import count_pending_migrations


class ServingCommand(BaseCommand):
    """Checks the servers, then the tables."""

    # URLs, templates and admin are the web server's; here they would cost time and memory.
    requires_system_checks = [Tags.database]

    def get_check_kwargs(self, options: dict[str, Any]) -> Any:
        """Django asks no server unless the database is named."""
        return super().get_check_kwargs(options) | {"databases": [DEFAULT_DB_ALIAS]}

    def check(self, *args: Any, **kwargs: Any) -> None:
        """The checks, and whether the database has the tables that this code expects."""
        super().check(*args, **kwargs)
        pending = count_pending_migrations()
        if pending:
            raise CommandError(f"{pending} migrations are not applied. Run `manage.py migrate`, then start again.")
