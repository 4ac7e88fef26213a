"""`migrate`, run as the owner of the tables."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as MigrateCommand

from tenants.database.conf import OWNER_ALIAS


class Command(MigrateCommand):
    help = "Bring the database schema up to date, as the owner (DATABASE_OWNER_URL)."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database=OWNER_ALIAS)

    def execute(self, *args: Any, **options: Any) -> str | None:
        if options["database"] == OWNER_ALIAS and OWNER_ALIAS not in settings.DATABASES:
            raise CommandError("Migrations run as the owner of the tables: set DATABASE_OWNER_URL.")
        return super().execute(*args, **options)
