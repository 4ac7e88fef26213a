"""Stored files in a backup: one archive of their contents, each once under its SHA-256."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import IO, Any, BinaryIO, Final
from uuid import UUID

import psycopg
from django.apps import apps
from django.core.files.base import File
from django.core.files.storage import Storage, default_storage
from django.utils.module_loading import import_string
from django.utils.translation import gettext_noop

from scheduling.backups.exceptions import (
    BackupDamagedError,
    BackupFileMissingError,
    RestoreKeyError,
    RestoreTargetExistsError,
)
from tenants.encryption.data_keys import forget_keys, preload_keys
from tenants.encryption.envelope import DataKey, SealBrokenError
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.file_seal import existing_file_key, opened_pieces, sealed_copy, sealed_size

_PIECE_BYTES: Final = 1024 * 1024
_ROWS: Final = 1_000


class FileArchive:
    """Archive of the files of a snapshot; after it was read, ``count`` and ``missing`` say what it has and lacks."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self._connection = connection
        self.count = 0
        self.missing: list[str] = []

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of the archive. Raise BackupFileMissingError for a content that differs from its row."""
        for row in _read_contents(self._connection):
            try:
                file = default_storage.open(row["key"])
            except FileNotFoundError:
                self.missing.append(row["key"])
                continue
            with file:
                yield from _entry(row, file)
            self.count += 1
        yield bytes(2 * tarfile.BLOCKSIZE)


def read_seal_keys(tenant_ids: Iterable[UUID]) -> Mapping[UUID, DataKey]:
    """Return the data keys that encrypt restored files, of those tenants that have one in the current database.

    The caller sees all tenants. Raise RestoreKeyError if one cannot be decrypted.
    """
    wanted, found = set(tenant_ids), dict[UUID, DataKey]()
    # Those in memory may be of another database, or from before its rows were restored.
    forget_keys()
    try:
        preload_keys(wanted)
        for tenant_id in wanted:
            try:
                if (key := existing_file_key(tenant_id)) is not None:
                    found[tenant_id] = key
            except DataKeyUnavailableError as error:
                raise RestoreKeyError(values={"tenant": tenant_id, "reason": str(error)}) from error
    finally:
        forget_keys()
    return found


def read_owners(connection: psycopg.Connection[dict[str, Any]]) -> set[UUID]:
    """Return the tenants that have files by the rows."""
    return {_tenant_of(key) for row in _read_contents(connection) for key in row["keys"]}


def restore_files(
    source: BinaryIO,
    connection: psycopg.Connection[dict[str, Any]],
    storage: Storage | None,
    *,
    seal_keys: Mapping[UUID, DataKey],
    only: str = "",
) -> int:
    """Write the contents of an archive under the keys that the restored rows have; return their number.

    Without a storage the contents are only verified; ``only`` is the folder, and so the tenant, whose keys are written.
    They are encrypted with the tenants' ``seal_keys``; of a tenant that has none they are written in plain.
    A content that the storage has already is left. Raise
    BackupDamagedError for a content that differs from its hash, RestoreTargetExistsError for another file of its name.
    """
    keys: Mapping[str, list[str]] = {row["sha256"]: row["keys"] for row in _read_contents(connection)}
    files = 0
    with tarfile.open(fileobj=source, mode="r|") as archive:
        for member in archive:
            opened = archive.extractfile(member)
            assert opened is not None  # the archive has files only
            with tempfile.SpooledTemporaryFile(_PIECE_BYTES) as content:
                _copy_verified(opened, content, member.name)
                own = [key for key in keys.get(member.name, ()) if not only or key.startswith(f"{only}/")]
                if storage is not None:
                    for key in own:
                        _store(storage, key, content, member.size, seal_keys.get(_tenant_of(key)))
            files += bool(own)
    return files


def find_missing(connection: psycopg.Connection[dict[str, Any]], missing: Collection[str]) -> list[str]:
    """Return the keys of missing files that rows still name: the others were deleted while the backup ran."""
    if not missing:
        return []
    return [key for row in _read_contents(connection) for key in row["keys"] if key in missing]


def _read_contents(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield hash, size and keys of each content of the apps that have a statement for it."""
    for config in apps.get_app_configs():
        if path := getattr(config, "backup_files", ""):
            with connection.cursor(name="contents") as cursor:
                cursor.itersize = _ROWS
                yield from cursor.execute(import_string(path))


def _entry(row: Mapping[str, Any], file: IO[bytes]) -> Iterator[bytes]:
    header = tarfile.TarInfo(row["sha256"])
    header.size = row["size_bytes"]
    yield header.tobuf(tarfile.PAX_FORMAT)
    digest, size = hashlib.sha256(), 0
    key = row["key"]
    try:
        for piece in opened_pieces(file, _tenant_of(key), key):
            digest.update(piece)
            size += len(piece)
            yield piece
    except (DataKeyUnavailableError, SealBrokenError) as error:
        raise BackupFileMissingError(
            gettext_noop("The stored file %(key)s cannot be decrypted."), {"key": key}
        ) from error
    if (size, digest.hexdigest()) != (row["size_bytes"], row["sha256"]):
        raise BackupFileMissingError(gettext_noop("The stored file %(key)s differs from its row."), {"key": row["key"]})
    yield bytes(-size % tarfile.BLOCKSIZE)


def _copy_verified(source: IO[bytes], target: IO[bytes], expected: str) -> None:
    digest = hashlib.sha256()
    while piece := source.read(_PIECE_BYTES):
        digest.update(piece)
        target.write(piece)
    if digest.hexdigest() != expected:
        raise BackupDamagedError(
            gettext_noop("The file %(file)s of the backup differs from its hash."), {"file": expected}
        )


def _tenant_of(key: str) -> UUID:
    return UUID(key.partition("/")[0])


def _store(storage: Storage, key: str, content: IO[bytes], size: int, seal_key: DataKey | None) -> None:
    if storage.exists(key):
        if storage.size(key) not in (size, sealed_size(size)):
            raise RestoreTargetExistsError(gettext_noop("Another file %(key)s exists."), {"key": key})
        return
    with sealed_copy(content, key, seal_key) as copy:
        storage.save(key, File(copy, name=key))
