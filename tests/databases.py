"""Test databases: created, truncated and reseeded as the owner, used by the tests as the restricted role."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from psycopg import sql

from tenants.database.conf import APP_ALIAS, AUDITOR_ALIAS, OWNER_ALIAS, platform_role

# Set by the session that starts the xdist workers and inherited by them: one name for the whole run.
RUN_VARIABLE = "JOBSPLATFORM_TEST_RUN"
# Rows that Django itself synchronizes with the models; no test changes them.
KEPT_TABLES = ("django_migrations", "django_content_type", "auth_permission")
SEEDED_SCHEMA = "seeded"
NO_SERVERS = (
    "These tests need PostgreSQL and a broker: run `make test`, or"
    " `python -m jobsplatform.embedded run --fast -- pytest …`, or set DATABASE_URL, DATABASE_OWNER_URL,"
    " DATABASE_AUDITOR_URL and REDIS_URL."
)
# Read before a test database replaces it in the settings.
SERVER_DATABASE: str = settings.DATABASES.get(OWNER_ALIAS, {}).get("NAME", "")


class TestDatabase:
    """The database of one test process, cloned from a blueprint that is migrated once a run."""

    __test__ = False

    def __init__(self, worker: str) -> None:
        run = os.environ[RUN_VARIABLE]
        self.blueprint = f"test_{run}_blueprint"
        self.name = f"test_{run}_{worker}"

    def create(self) -> None:
        """Clone the blueprint (and create it first, in the first process) and configure Django for the clone."""
        with self._connect(SERVER_DATABASE) as server:
            # Only one worker creates the blueprint, and no session may be connected to it during a clone.
            server.execute("SET lock_timeout = 0")
            server.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [self.blueprint])
            if server.execute("SELECT FROM pg_database WHERE datname = %s", [self.blueprint]).fetchone() is None:
                self._create_blueprint(server)
            self._clone(server, self.blueprint, self.name)
        self._point_django_at(self.name)
        self._owner = self._connect(self.name)

    def use(self) -> None:
        """Configure Django for this database, if a test process has several."""
        self._point_django_at(self.name)

    def destroy(self) -> None:
        """Disconnect and drop the clone."""
        connections.close_all()
        self._owner.close()
        with self._connect(SERVER_DATABASE) as server:
            drop_when_free(server, self.name)

    def reset(self) -> None:
        """Truncate every table and restore the rows of migrations."""
        with self._owner.transaction(), self._owner.cursor() as cursor:
            tables = _tables(cursor)
            cursor.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(sql.Identifier, tables))))
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            _enter_door(cursor)
            for table in _seeded_tables(cursor):
                cursor.execute(_copy_back(table, _columns(cursor, table)))

    def urls(self) -> dict[str, str]:
        """Return the URLs of this database, for processes that a test starts."""
        aliases = {"DATABASE_URL": APP_ALIAS, "DATABASE_OWNER_URL": OWNER_ALIAS, "DATABASE_AUDITOR_URL": AUDITOR_ALIAS}
        return {variable: _url(alias, self.name) for variable, alias in aliases.items()}

    def _create_blueprint(self, server: psycopg.Connection[Any]) -> None:
        self._clone(server, f"{SERVER_DATABASE}_template", self.blueprint)
        try:
            self._point_django_at(self.blueprint)
            call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
            connections[OWNER_ALIAS].close()
            with self._connect(self.blueprint) as blueprint:
                _keep_seeds(blueprint)
        except BaseException:
            connections.close_all()
            server.execute(_drop(self.blueprint))
            raise

    def _clone(self, server: psycopg.Connection[Any], template: str, name: str) -> None:
        server.execute(_drop(name))
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        _once_free(lambda: server.execute(made))

    def _point_django_at(self, name: str) -> None:
        for alias in (APP_ALIAS, OWNER_ALIAS, AUDITOR_ALIAS):
            connections[alias].close()
            connections[alias].settings_dict["NAME"] = name
            settings.DATABASES[alias]["NAME"] = name

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        return connect_as_owner(database)


def connect_as_owner(database: str) -> psycopg.Connection[Any]:
    """Return a connection of the owner in autocommit, separate from Django's."""
    entry = settings.DATABASES[OWNER_ALIAS]
    return psycopg.connect(
        host=entry["HOST"],
        port=entry["PORT"],
        user=entry["USER"],
        password=entry["PASSWORD"],
        dbname=database,
        autocommit=True,
    )


def app_url() -> str:
    """Return the URL of the application's login to the database of this test process."""
    return _url(APP_ALIAS, str(settings.DATABASES[APP_ALIAS]["NAME"]))


def connect_as_app(database: str) -> psycopg.Connection[Any]:
    """Return a connection of the application's login in autocommit, separate from Django's."""
    return psycopg.connect(_url(APP_ALIAS, database), autocommit=True)


def drop_blueprint() -> None:
    """Drop the blueprint of the run; called at its end."""
    if SERVER_DATABASE:
        with connect_as_owner(SERVER_DATABASE) as server:
            drop_when_free(server, f"test_{os.environ[RUN_VARIABLE]}_blueprint")


def _keep_seeds(blueprint: psycopg.Connection[Any]) -> None:
    """Copy the rows of migrations into a schema of their own."""
    schema, platform = sql.Identifier(SEEDED_SCHEMA), sql.Identifier(platform_role())
    with blueprint.transaction(), blueprint.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        cursor.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(schema, platform))
        _enter_door(cursor)
        for table in _tables(cursor):
            name = sql.Identifier(table)
            cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(name))
            if cursor.fetchone() == (True,):
                cursor.execute(sql.SQL("CREATE TABLE {}.{} AS TABLE {}").format(schema, name, name))


def _enter_door(cursor: psycopg.Cursor[Any]) -> None:
    cursor.execute("SELECT set_config('role', %s, true)", [platform_role()])


def _tables(cursor: psycopg.Cursor[Any]) -> list[str]:
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition AND relname <> ALL (%s) ORDER BY relname",
        [list(KEPT_TABLES)],
    )
    return [row[0] for row in cursor.fetchall()]


def _seeded_tables(cursor: psycopg.Cursor[Any]) -> list[str]:
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename", [SEEDED_SCHEMA])
    return [row[0] for row in cursor.fetchall()]


def _columns(cursor: psycopg.Cursor[Any], table: str) -> list[str]:
    cursor.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' ORDER BY attnum",
        [f'public."{table}"'],
    )
    return [row[0] for row in cursor.fetchall()]


def _copy_back(table: str, columns: list[str]) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("INSERT INTO public.{table} ({names}) SELECT {names} FROM {schema}.{table}").format(
        table=sql.Identifier(table), names=names, schema=sql.Identifier(SEEDED_SCHEMA)
    )


def _drop(name: str) -> sql.Composed:
    return sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))


def drop_when_free(server: psycopg.Connection[Any], name: str) -> None:
    """Drop a database, after the server's autovacuum, which its owner may not terminate."""
    _once_free(lambda: server.execute(_drop(name)))


def _once_free(act: Callable[[], object]) -> None:
    """Repeat a statement about a database until the server's autovacuum has left it."""
    deadline = time.monotonic() + 60
    while True:
        try:
            act()
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _url(alias: str, database: str) -> str:
    entry = settings.DATABASES[alias]
    user, password = quote(entry["USER"], safe=""), quote(entry["PASSWORD"], safe="")
    return f"postgres://{user}:{password}@{entry['HOST']}:{entry['PORT']}/{database}"
