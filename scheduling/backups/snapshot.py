"""Snapshot of the database that dump, numbers of rows and list of files of one backup share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from django.db import connections
from django.utils.translation import gettext_noop
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from scheduling.backups.exceptions import BackupBusyError, BackupNotReadyError
from tenants.database.conf import APP_ALIAS, platform_role
from tenants.database.locks import LockClass
from tenants.database.options import connection_options
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import set_config
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_TRANSACTION_TIMEOUT_SINCE = 170000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An exported snapshot, open as long as ``connection`` has its transaction.

    ``tables`` has the rows of each table as the platform role sees them, ``roots`` the table of each partition.
    """

    id: str
    taken_at: datetime
    connection: psycopg.Connection[dict[str, Any]]
    tables: Mapping[str, int]
    roots: Mapping[str, str]


def database_name() -> str:
    """Return the name of the platform's database."""
    return str(connections[APP_ALIAS].settings_dict["NAME"])


def reader_login() -> dict[str, Any]:
    """Return user, password, host and database of DATABASE_BACKUP_URL; raise BackupNotReadyError if it is not set."""
    url = platform_settings.DATABASE_BACKUP_URL
    if not url:
        raise BackupNotReadyError(
            gettext_noop("Set DATABASE_BACKUP_URL: backups need a login of their own, from which no rows are hidden.")
        )
    return conninfo_to_dict(url)


def reader_conninfo(database: str = "") -> str:
    """Return the connection string of the login that reads backups, to the platform's database or another."""
    return make_conninfo("", **{**reader_login(), "dbname": database or database_name()})


def connect(conninfo: str, *, autocommit: bool = False) -> psycopg.Connection[dict[str, Any]]:
    """Return a connection whose rows are dicts."""
    return psycopg.connect(conninfo, row_factory=dict_row, autocommit=autocommit, **connection_options())


def conninfo_of(alias: str, database: str) -> str:
    """Return the connection string of a configured login to a database of the same server."""
    entry = connections[alias].settings_dict
    login = {name: entry[name.upper()] for name in ("host", "port", "user", "password")}
    return make_conninfo(dbname=database, **login, **entry["OPTIONS"])


@contextmanager
def open_snapshot() -> Iterator[Snapshot]:
    """Open a snapshot and count the rows of every table in it.

    Raise BackupBusyError while another process has one open, BackupNotReadyError without a login.
    """
    with connect(reader_conninfo()) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        is_free, snapshot_id, taken_at = _begin(connection)
        if not is_free:
            raise BackupBusyError(gettext_noop("Another process is making a backup; try again when it has ended."))
        roots = {row["name"]: row["root"] for row in connection.execute(_SQL["read_tables"])}
        tables = count_rows(conninfo_of(APP_ALIAS, database_name()), snapshot_id)
        yield Snapshot(snapshot_id, taken_at, connection, tables, roots)


def _begin(connection: psycopg.Connection[dict[str, Any]]) -> tuple[bool, str, datetime]:
    row = connection.execute(
        sql.SQL("SELECT {lock} AS is_free, pg_export_snapshot() AS id, clock_timestamp() AS taken_at").format(
            lock=sql.SQL(LockClass.BACKUP.attempt())
        )
    ).fetchone()
    assert row is not None  # a statement without a condition
    return row["is_free"], row["id"], row["taken_at"]


def become_platform(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Take the platform role, which sees the rows of all tenants, and no time-outs, until the transaction ends."""
    settings = {"role": platform_role(), "statement_timeout": "0"}
    if connection.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
        settings["transaction_timeout"] = "0"
    text, values = set_config(settings)
    connection.execute(sql.SQL(text), values)


def count_rows(conninfo: str, snapshot_id: str = "") -> dict[str, int]:
    """Return the rows of each table as the platform role sees them, in a snapshot if one is given."""
    with connect(conninfo) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        if snapshot_id:
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot_id)))
        become_platform(connection)
        names = sorted({row["root"] for row in connection.execute(_SQL["read_tables"])})
        counts = (
            sql.SQL("SELECT {} AS name, count(*) AS number FROM {}").format(
                sql.Literal(name), sql.Identifier("public", name)
            )
            for name in names
        )
        counted = connection.execute(sql.SQL(" UNION ALL ").join(counts))
        return {row["name"]: row["number"] for row in counted}
