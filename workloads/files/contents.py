"""Contents in the file storage: written once under their key, and read back verified by their hash.

With encryption a file is encrypted under its tenant's data key; one from before is read as it is.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Final
from uuid import UUID

from django.core.files.base import File
from django.core.files.storage import Storage, default_storage

from scheduling.kit.base import TransientError
from tenants.encryption.envelope import DataKey, SealBrokenError
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import is_sealing
from tenants.encryption.file_seal import HEADER_BYTES, is_sealed_file, opened_pieces, sealed_copy, sealed_size
from workloads.files.exceptions import storage_errors

PART_BYTES: Final = 1024 * 1024


class StoredFileError(TransientError):
    """Raised if a file is missing from the storage or differs from what was stored. A retry may succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="file_not_stored")


@dataclass(frozen=True, slots=True)
class NewContent:
    """Bytes to store, with their hash and size; ``file`` must be seekable."""

    sha256: str
    size_bytes: int
    file: IO[bytes]


def download(key: str, sha256: str, storage: Storage = default_storage) -> IO[bytes]:
    """Return a temporary copy of a content, verified by its hash; raise as `fetch`."""
    copy: IO[Any] = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    digest = hashlib.sha256()
    try:
        with storage.open(key, "rb") as stored:
            for part in opened_pieces(stored, tenant_of(key), key):
                digest.update(part)
                copy.write(part)
    except DataKeyUnavailableError as error:
        copy.close()
        raise StoredFileError(f"The file cannot be decrypted: {error}") from error
    except SealBrokenError as error:
        copy.close()
        raise StoredFileError("The file in the storage was altered.") from error
    except storage_errors() as error:
        copy.close()
        reason = getattr(error, "strerror", None) or error
        raise StoredFileError(f"The file cannot be read from the storage: {reason}.") from error
    if digest.hexdigest() != sha256:
        copy.close()
        raise StoredFileError("The file in the storage differs from the uploaded one.")
    copy.seek(0)
    return copy


def tenant_of(key: str) -> UUID:
    """Return the tenant of a content by its key."""
    return UUID(key.partition("/")[0])


def is_whole(key: str, size: int) -> bool:
    """Return whether a stored file has the whole content, encrypted or as it is."""
    found = default_storage.size(key)
    if found != size:
        return bool(found == sealed_size(size))
    if not is_sealing():
        return True
    with default_storage.open(key, "rb") as stored:
        return not is_sealed_file(stored.read(HEADER_BYTES))  # else it is cut off


def write_content(key: str, content: NewContent, seal_key: DataKey | None) -> bool:
    """Stream a content into the storage unless all of it is there; return True if it was written.

    It is encrypted with ``seal_key``, from `file_key`. The caller holds its lock. Only `write_ahead` may begin the same
    file meanwhile, and may never complete it.
    """
    for _ in range(2):
        if default_storage.exists(key):
            if is_whole(key, content.size_bytes):
                return False
            default_storage.delete(key)
        if save_content(key, content, seal_key):
            return True
    raise StoredFileError(f"The storage saved {key} under another name.")


def save_content(key: str, content: NewContent, seal_key: DataKey | None) -> bool:
    """Save a content under its key; return False if there was a file meanwhile."""
    with sealed_copy(content.file, key, seal_key) as file:
        stored = default_storage.save(key, file if isinstance(file, File) else File(file))
    if stored != key:
        default_storage.delete(stored)
    return bool(stored == key)
