"""Files by their content: one copy a tenant, kept as long as a document refers to it.

Who stores and who deletes hold the same lock on the content until their transaction ends, so a file is never
deleted under an upload of the same bytes.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from typing import IO, Any
from uuid import UUID

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import connection, transaction

from scheduling.processors.base import TransientError
from scheduling.processors.retrieval.models import Document
from tenants.context import tenant_context
from tenants.locks import LockClass

_COPY_BYTES = 1024 * 1024
_LOCK_CONTENTS = f"""
    SELECT {LockClass.FILE_CONTENT.take_named("key")}
    FROM (SELECT unnest(%s::text[]) AS key ORDER BY 1) AS keys
"""  # noqa: S608 - constants


class StoredFileError(TransientError):
    """The file is not in the storage as it was stored; a storage that comes back may heal that."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="file_not_stored")


def storage_key(tenant_id: UUID, sha256: str) -> str:
    """Where the storage keeps a content of the tenant."""
    return f"{tenant_id}/{sha256[:2]}/{sha256}"


def lock_contents(keys: Iterable[str]) -> None:
    """Keep others from storing or deleting these contents until the transaction ends; in one order for all."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_CONTENTS, [sorted(set(keys))])


def store_file(key: str, content: File[bytes]) -> bool:
    """Stream a content into the storage unless it is there; whether it was stored. Needs its lock."""
    if default_storage.exists(key):
        return False
    content.seek(0)
    stored = default_storage.save(key, content)
    if stored != key:
        default_storage.delete(stored)
        raise StoredFileError(f"The storage kept {key} under another name.")
    return True


def fetch_file(key: str, sha256: str) -> IO[bytes]:
    """A private copy on local disk, verified by its hash; it vanishes when it is closed."""
    copy: IO[Any] = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    digest = hashlib.sha256()
    try:
        with default_storage.open(key, "rb") as stored:
            while part := stored.read(_COPY_BYTES):
                digest.update(part)
                copy.write(part)
    except OSError as error:
        copy.close()
        raise StoredFileError(f"The file cannot be read from the storage: {error.strerror or error}.") from error
    if digest.hexdigest() != sha256:
        copy.close()
        raise StoredFileError("The file in the storage is not the one that was uploaded.")
    copy.seek(0)
    return copy


def discard_file_on_commit(tenant_id: UUID, key: str) -> None:
    """Delete the content after this transaction if no document refers to it any more."""
    transaction.on_commit(lambda: discard_unused_file(tenant_id, key))


def discard_unused_file(tenant_id: UUID, key: str) -> bool:
    """Delete the content unless a document of the tenant refers to it; whether it was deleted."""
    with tenant_context(tenant_id):
        lock_contents([key])
        if Document.objects.filter(storage_key=key).exists():
            return False
        default_storage.delete(key)
    return True
