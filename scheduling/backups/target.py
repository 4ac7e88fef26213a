"""Places where backups are kept: a folder, or a prefix of a bucket of S3-compatible object storage."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, Storage
from django.utils.translation import gettext_noop

from scheduling.backups.exceptions import BackupDamagedError, BackupNotFoundError, BackupTargetError
from scheduling.backups.manifest import MANIFEST, MAX_BYTES, Manifest, Part

S3: Final = "s3://"
# Larger objects are read and written in parts of as many bytes, and not kept in memory.
_PART_BYTES: Final = 8 * 1024 * 1024


class StreamFile(io.RawIOBase):
    """File of the pieces that an iterator yields; ``digest`` and ``size`` are of those that were read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._waiting = b""
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from the next piece."""
        while not self._waiting:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._waiting = piece
        taken, self._waiting = self._waiting[: len(buffer)], self._waiting[len(buffer) :]
        buffer[: len(taken)] = taken
        self.digest.update(taken)
        self.size += len(taken)
        return len(taken)


class Target:
    """Place of backups, named by a path or by ``s3://bucket/prefix``. Each backup is a folder with its parts."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.storage = open_storage(address)

    def names(self) -> list[str]:
        """Return the names of the backups, the newest first; one without a manifest is none."""
        with self._errors():
            try:
                folders, _ = self.storage.listdir("")
            except FileNotFoundError:
                return []
            return sorted((name for name in folders if self.storage.exists(f"{name}/{MANIFEST}")), reverse=True)

    def read_manifest(self, name: str) -> Manifest:
        """Return the manifest of a backup; raise BackupNotFoundError, BackupDamagedError or BackupKeyError."""
        path = f"{name}/{MANIFEST}"
        with self._errors():
            if "/" in name or not self.storage.exists(path):
                raise BackupNotFoundError(
                    gettext_noop("%(target)s has no backup %(name)s."), {"target": self.address, "name": name}
                )
            with self.storage.open(path) as file:
                manifest = Manifest.read(file.read(MAX_BYTES))
        if manifest.name != name:
            raise BackupDamagedError(
                gettext_noop("The backup %(name)s is refused: its manifest is that of another."), {"name": name}
            )
        return manifest

    def newest(self) -> Manifest:
        """Return the manifest of the newest backup; raise BackupNotFoundError if there is none."""
        names = self.names()
        if not names:
            raise BackupNotFoundError(gettext_noop("%(target)s has no backups."), {"target": self.address})
        return self.read_manifest(names[0])

    def write(self, backup: str, part: str, pieces: Iterable[bytes]) -> Part:
        """Store a part and return its facts; raise BackupTargetError if it exists."""
        path, stream = f"{backup}/{part}", StreamFile(pieces)
        with self._errors():
            if self.storage.exists(path):
                raise BackupTargetError(gettext_noop("%(path)s exists and is not replaced."), {"path": path})
            self.storage.save(path, File(io.BufferedReader(stream), name=part))
        return Part(part, stream.size, stream.digest.hexdigest())

    def write_manifest(self, manifest: Manifest) -> None:
        """Store the manifest, which makes the parts a backup."""
        with self._errors():
            self.storage.save(f"{manifest.name}/{MANIFEST}", ContentFile(manifest.signed()))

    @contextmanager
    def open(self, manifest: Manifest, part: Part) -> Iterator[File[bytes]]:
        """Open the encrypted bytes of a part; raise BackupDamagedError if it is missing."""
        path = f"{manifest.name}/{part.name}"
        with self._errors():
            if not self.storage.exists(path):
                raise BackupDamagedError(
                    gettext_noop("The backup %(name)s is refused: %(part)s is missing."),
                    {"name": manifest.name, "part": part.name},
                )
            with self.storage.open(path) as file:
                yield file

    def verify_parts(self, manifest: Manifest) -> None:
        """Read every part and compare size and hash with the manifest; raise BackupDamagedError."""
        for part in manifest.parts:
            digest = hashlib.sha256()
            with self.open(manifest, part) as file:
                while piece := file.read(_PART_BYTES):
                    digest.update(piece)
            if digest.hexdigest() != part.sha256:
                raise BackupDamagedError(
                    gettext_noop("The backup %(name)s is refused: %(part)s was changed."),
                    {"name": manifest.name, "part": part.name},
                )

    def delete(self, name: str) -> None:
        """Delete a backup, its manifest first, so that what is left is none."""
        with self._errors():
            _, files = self.storage.listdir(name)
            for file in sorted(files, key=lambda file: file != MANIFEST):
                self.storage.delete(f"{name}/{file}")
            with suppress(OSError):
                self.storage.delete(name)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except storage_errors() as error:
            raise BackupTargetError(
                gettext_noop("%(target)s cannot be used: %(error)s"),
                {"target": self.address, "error": f"{type(error).__name__}: {error}"},
            ) from error


def open_storage(address: str, *, call_seconds: int | None = None) -> Storage:
    """Return the storage of a folder or of ``s3://bucket/prefix``; raise BackupTargetError if boto3 is missing.

    ``call_seconds`` bounds each call of the object storage; None: as boto3 does.
    """
    if not address.startswith(S3):
        return FileSystemStorage(address, file_permissions_mode=0o600, directory_permissions_mode=0o700)
    try:
        from botocore.config import Config
        from storages.backends.s3 import S3Storage
    except ImportError as error:
        raise BackupTargetError(gettext_noop("Backups in S3 need boto3: pip install django-storages[s3].")) from error
    bucket, _, prefix = address.removeprefix(S3).partition("/")
    options: dict[str, Any] = {"bucket_name": bucket, "location": prefix, "max_memory_size": _PART_BYTES}
    if call_seconds is not None:
        options["client_config"] = Config(
            connect_timeout=call_seconds, read_timeout=call_seconds, retries={"total_max_attempts": 2}
        )
    storage: Storage = S3Storage(file_overwrite=False, default_acl=None, **options)
    return storage


def storage_errors() -> tuple[type[Exception], ...]:
    """Return the errors of a storage: OSError and, if boto3 is in use, its own."""
    boto3, botocore = (sys.modules.get(f"{name}.exceptions") for name in ("boto3", "botocore"))
    if boto3 is None or botocore is None:
        return (OSError,)
    return OSError, boto3.Boto3Error, botocore.BotoCoreError, botocore.ClientError
