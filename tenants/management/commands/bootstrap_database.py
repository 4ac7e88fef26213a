"""Command that creates roles, database and extension with an administrator's connection."""

from __future__ import annotations

from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from psycopg.conninfo import conninfo_to_dict

from tenants.database.bootstrap import (
    MINIMUM_SERVER,
    BootstrapError,
    Layout,
    LoginRole,
    bootstrap_database,
    printed_sql,
)
from tenants.database.conf import APP_ALIAS, AUDITOR_ALIAS, OWNER_ALIAS, auditor_role, platform_role
from tenants.database.platform_settings import platform_settings


class Command(BaseCommand):
    help = (
        "Create the owner, application, auditor and platform roles, the database and the extension `vector`, as "
        "named by DATABASE_URL, DATABASE_OWNER_URL, DATABASE_AUDITOR_URL and DATABASE_PLATFORM_ROLE, and the login "
        "of DATABASE_BACKUP_URL if it is set. The command is idempotent."
    )
    # It runs before there is a database that the checks could query.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--admin-url", help="an administrator's connection, used once and not stored")
        parser.add_argument("--print-sql", action="store_true", help="print the script for psql and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        layout = self._read_layout()
        if options["print_sql"]:
            self.stdout.write(printed_sql(layout, MINIMUM_SERVER), ending="")
            return
        if not options["admin_url"]:
            raise CommandError("Give --admin-url URL, or --print-sql to print the statements.")
        try:
            bootstrap_database(
                options["admin_url"],
                database=layout.database,
                owner=layout.owner,
                app=layout.app,
                auditor=layout.auditor,
                platform=layout.platform,
                backup=layout.backup,
            )
        except (BootstrapError, psycopg.Error) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Database {layout.database} is ready for `manage.py migrate`.")

    def _read_layout(self) -> Layout:
        entries = [settings.DATABASES.get(alias, {}) for alias in (APP_ALIAS, OWNER_ALIAS, AUDITOR_ALIAS)]
        if not entries[1]:
            raise CommandError("Set DATABASE_OWNER_URL: it names the owner to create.")
        if not entries[2]:
            raise CommandError("Set DATABASE_AUDITOR_URL: it names the auditor's login to create.")
        if len({entry["NAME"] for entry in entries}) > 1:
            raise CommandError("DATABASE_URL, DATABASE_OWNER_URL and DATABASE_AUDITOR_URL must name the same database.")
        roles = [LoginRole(name=entry["USER"], password=entry["PASSWORD"]) for entry in entries]
        if not all(role.name and role.password for role in roles):
            raise CommandError(
                "DATABASE_URL, DATABASE_OWNER_URL and DATABASE_AUDITOR_URL must each name a user and a password."
            )
        app, owner, auditor = roles
        if auditor.name != auditor_role():
            raise CommandError(f"DATABASE_AUDITOR_ROLE must be the user of DATABASE_AUDITOR_URL, {auditor.name}.")
        return Layout(
            database=entries[0]["NAME"],
            owner=owner,
            app=app,
            auditor=auditor,
            platform=platform_role(),
            backup=_read_backup_role(entries[0]["NAME"]),
        )


def _read_backup_role(database: str) -> LoginRole | None:
    """Return the login of DATABASE_BACKUP_URL, None if it is not set."""
    url = platform_settings.DATABASE_BACKUP_URL
    if not url:
        return None
    given = conninfo_to_dict(url)
    if not (given.get("user") and given.get("password") and given.get("dbname") == database):
        raise CommandError("DATABASE_BACKUP_URL must name the same database, a user and a password.")
    return LoginRole(str(given["user"]), str(given["password"]))
