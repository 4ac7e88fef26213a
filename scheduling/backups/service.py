"""Making backups, and reading them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from django.utils.translation import gettext_noop

from scheduling.backups.exceptions import (
    BackupDamagedError,
    BackupDatabaseError,
    BackupFileMissingError,
    BackupNotReadyError,
    BackupRowsDifferError,
)
from scheduling.backups.files import FileArchive, find_missing
from scheduling.backups.manifest import DATABASE_PART, FILES_PART, NO_TENANT, Manifest, Part
from scheduling.backups.programs import count_dumped_rows, dump, require_program
from scheduling.backups.rules import backup_name, differing_tables
from scheduling.backups.snapshot import Snapshot, connect, open_snapshot, reader_conninfo
from scheduling.backups.target import Target
from tenants.audit.heads import last_heads
from tenants.audit.service import AuditTarget, record_audit
from tenants.audit.signing import SigningKeyMissingError, require_signing_key
from tenants.context import all_tenants
from tenants.database.ids import uuid7
from tenants.encryption.chunks import ChunkDamagedError, decrypt, encrypt
from tenants.encryption.data_keys import master_keys
from tenants.encryption.envelope import new_secret
from tenants.exceptions import DomainError

AUDIT_TARGET: Final = "scheduling.backup"


@dataclass(frozen=True, slots=True)
class Tools:
    """Programs that a backup needs, fit for the server."""

    dump: str
    restore: str
    dump_version: int
    server_version: int


def require_tools() -> Tools:
    """Return the programs; raise BackupProgramError, or BackupNotReadyError without login, master or signing key."""
    try:
        require_signing_key()
    except (ImproperlyConfigured, SigningKeyMissingError) as error:
        raise BackupNotReadyError(
            gettext_noop("Backups are signed with AUDIT_SIGNING_KEY, which this process lacks.")
        ) from error
    if not master_keys().current_id:
        raise BackupNotReadyError(gettext_noop("Set ENCRYPTION_MASTER_KEYS: its first key encrypts backups."))
    with connect(reader_conninfo()) as connection:
        server = connection.info.server_version // 10_000
    path, version = require_program("pg_dump", at_least=server)
    return Tools(path, require_program("pg_restore", at_least=version)[0], version, server)


def make_backup(target: Target, *, has_files: bool = True) -> Manifest:
    """Store a backup of the database, and of the stored files, and return its manifest.

    Everything is of one snapshot. The dump is read back, and its rows are counted: raise BackupRowsDifferError if the
    platform role sees others. Raise BackupBusyError, BackupDatabaseError, BackupFileMissingError, BackupProgramError
    or BackupTargetError; then nothing is left.
    """
    with _database_errors():
        return _make(target, has_files=has_files)


@contextmanager
def _database_errors() -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, Error) as error:
        raise BackupDatabaseError(values={"error": str(error).strip()[:400] or type(error).__name__}) from error


def _make(target: Target, *, has_files: bool) -> Manifest:
    tools = require_tools()
    # Read before the snapshot, which then contains them.
    heads = list(last_heads())
    with ExitStack() as undo:
        with open_snapshot() as snapshot:
            backup_id, secret, masters = uuid7(), new_secret(), master_keys()
            name, archive = backup_name(snapshot.taken_at, backup_id), FileArchive(snapshot.connection)
            undo.push(partial(_delete_on_error, target, name))
            sources = {DATABASE_PART: dump(tools.dump, reader_conninfo(), snapshot.id)}
            if has_files:
                sources[FILES_PART] = archive.pieces()
            parts = tuple(target.write(name, part, encrypt(source, secret, part)) for part, source in sources.items())
            _require_deleted(archive.missing)
            manifest = Manifest(
                id=backup_id,
                name=name,
                taken_at=snapshot.taken_at,
                server_version=tools.server_version,
                dump_version=tools.dump_version,
                master_key_id=masters.current_id,
                wrapped_key=masters.wrap(secret, tenant_id=NO_TENANT, key_id=backup_id).hex(),
                tables=snapshot.tables,
                heads=heads,
                files=archive.count,
                missing_files=archive.missing,
                parts=parts,
            )
            _require_rows(target, manifest, tools.restore, snapshot)
        _finish(target, manifest)
    return manifest


def _delete_on_error(target: Target, name: str, error: type[BaseException] | None, *_: object) -> None:
    if error is not None:
        with suppress(DomainError):
            target.delete(name)


def _finish(target: Target, manifest: Manifest) -> None:
    """Write the manifest in the transaction of the audit entry: there is neither without the other."""
    facts = {"target": target.address, "bytes": manifest.size, "rows": manifest.rows, "files": manifest.files}
    with all_tenants():
        record_audit(action="backup.made", target=AuditTarget(AUDIT_TARGET, manifest.name), after=facts)
        target.write_manifest(manifest)


def _require_rows(target: Target, manifest: Manifest, program: str, snapshot: Snapshot) -> None:
    """Read the dump back and count its rows; raise BackupRowsDifferError if they are not those of the snapshot."""
    pieces = read_part(target, manifest, manifest.parts[0], manifest.secret())
    if differing := differing_tables(manifest.tables, count_dumped_rows(program, pieces, snapshot.roots)):
        raise BackupRowsDifferError(
            gettext_noop(
                "The dump has other rows than the platform sees (platform / dump): %(tables)s. Give the user of "
                "DATABASE_BACKUP_URL the attribute BYPASSRLS: manage.py bootstrap_database."
            ),
            {"tables": ", ".join(differing)},
        )


def read_part(target: Target, manifest: Manifest, part: Part, secret: bytes) -> Iterator[bytes]:
    """Yield the decrypted bytes of a part; raise BackupDamagedError at the first chunk that is not authentic."""
    with target.open(manifest, part) as file:
        try:
            yield from decrypt(file, secret, part.name)
        except ChunkDamagedError as error:
            raise BackupDamagedError(
                gettext_noop("The backup %(name)s is refused: %(part)s cannot be decrypted."),
                {"name": manifest.name, "part": part.name},
            ) from error


def delete_backup(target: Target, name: str, *, reason: str = "") -> None:
    """Delete a backup, with an audit entry."""
    with all_tenants():
        record_audit(
            action="backup.deleted",
            target=AuditTarget(AUDIT_TARGET, name),
            before={"target": target.address},
            reason=reason,
        )
        target.delete(name)


def _require_deleted(missing: list[str]) -> None:
    """Raise BackupFileMissingError if a row still names a file that was missing."""
    if not missing:
        return
    with connect(reader_conninfo()) as connection:
        if left := find_missing(connection, missing):
            raise BackupFileMissingError(
                gettext_noop("%(number)s stored files are missing, such as %(key)s. See “manage.py verify storage”."),
                {"number": len(left), "key": left[0]},
            )
