"""Create roles, database and extension with an administrator's connection."""

from __future__ import annotations

from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.bootstrap import MINIMUM_SERVER, BootstrapError, Layout, Role, bootstrap_database, printed_sql
from tenants.conf import APP_ALIAS, OWNER_ALIAS, platform_role


class Command(BaseCommand):
    help = (
        "Create the owner, application and platform roles, the database and the extension `vector`, as DATABASE_URL,"
        " DATABASE_OWNER_URL and DATABASE_PLATFORM_ROLE name them. Running it again changes nothing."
    )
    # It runs before there is a database that the checks could ask.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--admin-url", help="an administrator's connection, used once and not kept")
        parser.add_argument("--print-sql", action="store_true", help="print the script for psql and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        layout = self._read_layout()
        if options["print_sql"]:
            self.stdout.write(printed_sql(layout, MINIMUM_SERVER), ending="")
            return
        if not options["admin_url"]:
            raise CommandError("Give --admin-url URL, or --print-sql to see what would be done.")
        try:
            bootstrap_database(
                options["admin_url"],
                database=layout.database,
                owner=layout.owner,
                app=layout.app,
                platform=layout.platform,
            )
        except (BootstrapError, psycopg.Error) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Database {layout.database} is ready for `manage.py migrate`.")

    def _read_layout(self) -> Layout:
        if OWNER_ALIAS not in settings.DATABASES:
            raise CommandError("Set DATABASE_OWNER_URL: it names the owner that shall be created.")
        app, owner = settings.DATABASES[APP_ALIAS], settings.DATABASES[OWNER_ALIAS]
        if app["NAME"] != owner["NAME"]:
            raise CommandError("DATABASE_URL and DATABASE_OWNER_URL must name the same database.")
        roles = [Role(name=entry["USER"], password=entry["PASSWORD"]) for entry in (owner, app)]
        if not all(role.name and role.password for role in roles):
            raise CommandError("DATABASE_URL and DATABASE_OWNER_URL must each name a user and a password.")
        return Layout(database=app["NAME"], owner=roles[0], app=roles[1], platform=platform_role())
