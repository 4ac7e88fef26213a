"""The storage of the archive, a folder or a bucket of S3-compatible object storage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage
from django.utils.translation import gettext_noop

from scheduling.archive.exceptions import RETRY_SECONDS, ArchiveDamagedError, ArchiveUnavailableError
from scheduling.archive.models import ArchiveObject
from scheduling.backups.target import S3, open_storage, storage_errors
from tenants.database.platform_settings import platform_settings

# Of one call of the object storage: jobs stay locked while their object is written.
_CALL_SECONDS: Final = 10


def is_archiving() -> bool:
    """Return whether ended jobs are archived before they are deleted."""
    return bool(platform_settings.ARCHIVE)


def put(key: str, data: bytes) -> None:
    """Store an object and compare its size; raise ArchiveUnavailableError."""
    with _opened() as storage:
        if storage.save(key, ContentFile(data)) != key or storage.size(key) != len(data):
            raise OSError(f"{key} was not stored as it was sent")


def put_file(key: str, path: Path) -> None:
    """Store a file of any size and compare its size; raise ArchiveUnavailableError."""
    with _opened() as storage, path.open("rb") as file:
        if storage.save(key, File(file)) != key or storage.size(key) != path.stat().st_size:
            raise OSError(f"{key} was not stored as it was sent")


def open_file(key: str) -> File[bytes]:
    """Return an object as an open file; raise ArchiveUnavailableError, also if there is none."""
    with _opened() as storage:
        return storage.open(key)


def read(entry: ArchiveObject) -> bytes:
    """Return the bytes of an object; raise ArchiveDamagedError unless its hash is right, or ArchiveUnavailableError."""
    data = b""
    with _opened() as storage:
        if storage.exists(entry.key):
            with storage.open(entry.key) as file:
                data = file.read()
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise ArchiveDamagedError(
            gettext_noop("The object %(key)s of the archive is missing or was changed: restore it from a copy."),
            {"key": entry.key},
        )
    return data


def delete(key: str) -> None:
    """Delete an object if it exists; raise ArchiveUnavailableError."""
    with _opened() as storage:
        storage.delete(key)


def list_keys(tenant_id: UUID) -> list[str]:
    """Return the keys of a tenant's objects, which are in folders by day; raise ArchiveUnavailableError."""
    with _opened() as storage:
        try:
            days = storage.listdir(str(tenant_id))[0]
        except FileNotFoundError:  # nothing was ever stored
            return []
        return [f"{tenant_id}/{day}/{name}" for day in days for name in storage.listdir(f"{tenant_id}/{day}")[1]]


@contextmanager
def _opened() -> Iterator[Storage]:
    """Open the storage; its errors are raised as ArchiveUnavailableError."""
    address = platform_settings.ARCHIVE
    try:
        # A folder that is not mounted must not be created on the disk below.
        if not address.startswith(S3) and not (address and Path(address).is_dir()):
            raise OSError("there is no such folder" if address else "the setting ARCHIVE is empty")
        yield open_storage(address, call_seconds=_CALL_SECONDS)
    except storage_errors() as error:
        raise ArchiveUnavailableError(
            gettext_noop("The archive %(address)s is away, and nothing is deleted until it is back: %(error)s"),
            {"address": address or "–", "error": f"{type(error).__name__}: {error}"[:300]},
            retry_after_seconds=RETRY_SECONDS,
        ) from error
