"""Django's `migrate`, run under the database login that owns the tables."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from tenants.database.conf import OWNER_ALIAS

_FIRST = ("tenants", "0001_initial")


class Command(MigrateCommand):
    help = "Migrate the database schema as its owner (DATABASE_OWNER_URL)."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database=OWNER_ALIAS)

    def execute(self, *args: Any, **options: Any) -> str | None:
        if options["database"] == OWNER_ALIAS and OWNER_ALIAS not in settings.DATABASES:
            raise CommandError("Migrations run as the owner of the tables: set DATABASE_OWNER_URL.")
        refuse_foreign_history(options["database"])
        return super().execute(*args, **options)


def refuse_foreign_history(alias: str) -> None:
    """Raise CommandError if the tables were created by the migrations of a development version before 1.0."""
    applied = MigrationRecorder(connections[alias]).applied_migrations()
    if _FIRST not in applied and any(app == _FIRST[0] for app, _ in applied):
        raise CommandError(
            "This database was created by a development version before 1.0, and there is no upgrade from it. "
            "Create a new database; for `make dev`, stop it and delete the folder var/dev."
        )
