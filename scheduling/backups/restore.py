"""Restoring a backup into a new database."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
from django.conf import settings
from django.core.files.storage import Storage
from django.db import connections
from django.utils.translation import gettext_noop
from psycopg import sql

from scheduling.backups.exceptions import (
    BackupNotReadyError,
    BackupRowsDifferError,
    RestoreTargetExistsError,
)
from scheduling.backups.files import read_owners, read_seal_keys, restore_files
from scheduling.backups.manifest import FILES_PART, Manifest, Part
from scheduling.backups.programs import load, require_program
from scheduling.backups.rules import differing_tables
from scheduling.backups.service import AUDIT_TARGET, read_part
from scheduling.backups.snapshot import connect, conninfo_of, count_rows, database_name, reader_conninfo, reader_login
from scheduling.backups.target import StreamFile, Target
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.database.conf import APP_ALIAS, OWNER_ALIAS, auditor_role
from tenants.encryption.envelope import DataKey


def check_restore(target: Target, name: str, *, into: str = "") -> Manifest:
    """Return the manifest of a backup that can be restored, after reading all of it; without a name, of the newest.

    Raise BackupDamagedError, BackupKeyError, BackupNotFoundError, BackupNotReadyError, BackupProgramError, or
    RestoreTargetExistsError for a database that exists.
    """
    manifest = target.read_manifest(name) if name else target.newest()
    manifest.secret()
    require_program("pg_restore", at_least=manifest.dump_version)
    with _owner(reader_login()["dbname"]) as server:
        if server.execute("SELECT FROM pg_database WHERE datname = %s", [into]).rowcount:
            raise RestoreTargetExistsError(
                gettext_noop("The database %(name)s exists; name one that does not."), {"name": into}
            )
    target.verify_parts(manifest)
    return manifest


def restore_backup(
    target: Target,
    manifest: Manifest,
    *,
    into: str,
    storage: Storage | None,
    is_recorded: bool = True,
) -> int:
    """Create the database ``into`` with the rows of a backup, and write the files to ``storage``, or none.

    Return the number of files.

    The rows of each table are counted afterwards: raise BackupRowsDifferError if they are not those of the manifest.
    If anything fails, the database is dropped. With ``is_recorded`` an audit entry in the restored database says so.
    """
    secret = manifest.secret()
    program, _ = require_program("pg_restore", at_least=manifest.dump_version)
    parts = {part.name: part for part in manifest.parts}
    create_database(into)
    try:
        load(program, conninfo_of(OWNER_ALIAS, into), read_part(target, manifest, manifest.parts[0], secret))
        with _owner(into) as connection:
            connection.execute("ANALYZE")
        _require_rows(manifest, into)
        part = parts.get(FILES_PART)
        files = _restore_part(target, manifest, part, secret, into, storage) if part else 0
        if is_recorded:
            _record(target, manifest, into)
    except BaseException:
        drop_database(into)
        raise
    return files


@contextmanager
def scratch_database(target: Target, manifest: Manifest) -> Iterator[str]:
    """Restore a backup into a database that is dropped after the block; yield its name. No file is written."""
    name = f"{database_name()[:40]}_scratch_{uuid4().hex[:8]}"
    check_restore(target, manifest.name, into=name)
    restore_backup(target, manifest, into=name, storage=None, is_recorded=False)
    try:
        yield name
    finally:
        drop_database(name)


def _require_rows(manifest: Manifest, into: str) -> None:
    if differing := differing_tables(manifest.tables, count_rows(conninfo_of(APP_ALIAS, into))):
        raise BackupRowsDifferError(
            gettext_noop("The restored tables have other rows (backup / restored): %(tables)s."),
            {"tables": ", ".join(differing)},
        )


def _restore_part(
    target: Target, manifest: Manifest, part: Part, secret: bytes, into: str, storage: Storage | None
) -> int:
    stream = io.BufferedReader(StreamFile(read_part(target, manifest, part, secret)))
    with connect(reader_conninfo(into)) as connection:
        seal_keys: Mapping[UUID, DataKey] = {}
        if storage is not None:
            with platform_database(into), all_tenants():
                seal_keys = read_seal_keys(read_owners(connection))
        return restore_files(stream, connection, storage, seal_keys=seal_keys)


def _record(target: Target, manifest: Manifest, into: str) -> None:
    facts = {"target": target.address, "taken_at": manifest.taken_at.isoformat(), "rows": manifest.rows}
    with platform_database(into), all_tenants():
        record_audit(action="backup.restored", target=AuditTarget(AUDIT_TARGET, manifest.name), after=facts)


def create_database(name: str) -> None:
    """Create an empty database of the owner, with the extension, which only the platform's logins may enter."""
    reader = reader_login()
    # `bootstrap_database` has made it for the database that the login's URL names.
    source = f"{reader['dbname']}_template"
    logins = map(sql.Identifier, (settings.DATABASES[APP_ALIAS]["USER"], auditor_role(), reader["user"]))
    database = sql.Identifier(name)
    with _owner(reader["dbname"]) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(database, sql.Identifier(source)))
        server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        server.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.SQL(", ").join(logins)))


def drop_database(name: str) -> None:
    """Drop a database that a restore has created."""
    with _owner(reader_login()["dbname"]) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


@contextmanager
def platform_database(name: str) -> Iterator[None]:
    """Make another database the default one of this thread, with the application's login."""
    kept = connections[APP_ALIAS]
    other = connections.create_connection(APP_ALIAS)
    other.settings_dict = {**kept.settings_dict, "NAME": name}
    connections[APP_ALIAS] = other
    try:
        yield
    finally:
        other.close()
        connections[APP_ALIAS] = kept


def _owner(database: str) -> psycopg.Connection[dict[str, Any]]:
    if OWNER_ALIAS not in settings.DATABASES:
        raise BackupNotReadyError(gettext_noop("Set DATABASE_OWNER_URL: its user creates the database to restore."))
    return connect(conninfo_of(OWNER_ALIAS, database), autocommit=True)
