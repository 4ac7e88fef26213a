"""Storage of files by their content: one copy per tenant, kept as long as a row refers to it.

Storing and deleting hold the same lock on the content until their transaction ends, so a file is never deleted while
the same bytes are being stored. A content that is stored before the row which refers to it is kept for at least an
hour. The tenant's counter of bytes is locked last, after the file is written, so that concurrent uploads do not wait
for each other's writing.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import IO, Final
from uuid import UUID

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models.functions import Greatest, Now

from scheduling.kit.base import PermanentError, TransientError
from tenants.context import tenant_context
from tenants.database.locks import LockClass
from tenants.database.prepared import execute
from tenants.database.sql import load_sql
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.file_seal import file_key
from tenants.exceptions import DomainError
from tenants.holds.service import find_hold
from tenants.limits.usage import change_stored, check_room
from workloads.files.cache import file_cache, forget
from workloads.files.contents import (
    PART_BYTES,
    NewContent,
    download,
    save_content,
    write_content,
)
from workloads.files.exceptions import storage_errors
from workloads.files.limits import STORAGE_BYTES
from workloads.files.models import Content
from workloads.files.references import used_keys

# Time within which the row that refers to a content stored ahead must be committed.
HOLD: Final = timedelta(hours=1)
# A remote storage takes a while for each.
FILES_AT_ONCE: Final = 8
_LOCK_CONTENTS = load_sql(__file__)["lock_contents"]


@dataclass(frozen=True, slots=True)
class StoredContent:
    """The key, hash and size of a content, for a row that refers to it."""

    key: str
    sha256: str
    size_bytes: int


def store_bytes(tenant_id: UUID, data: bytes) -> StoredContent:
    """Store bytes before the row that refers to them. That row must be committed within an hour.

    Raise `SpaceExceededError` if the tenant has no room for them.
    """
    return store_file(tenant_id, io.BytesIO(data))


def store_file(tenant_id: UUID, file: IO[bytes]) -> StoredContent:
    """Store a seekable file as `store_bytes` does; `write_ahead` may have written it."""
    new = _measured(file)
    key = storage_key(tenant_id, new.sha256)
    with discard_on_error(tenant_id) as written:
        written.append(key)
        with tenant_context(tenant_id):
            store_contents(tenant_id, [new], written=written, hold=HOLD)
    return StoredContent(key, new.sha256, new.size_bytes)


def write_ahead(tenant_id: UUID, file: IO[bytes]) -> None:
    """Write the bytes that `store_file` will store, without the database; until then upkeep may delete them.

    A file that exists is left, even an incomplete one: another process may be writing it, which only its lock excludes.
    """
    new = _measured(file)
    key = storage_key(tenant_id, new.sha256)
    if not default_storage.exists(key):
        save_content(key, new, file_key(tenant_id))


def _measured(file: IO[bytes]) -> NewContent:
    digest = hashlib.sha256()
    file.seek(0)
    while part := file.read(PART_BYTES):
        digest.update(part)
    return NewContent(digest.hexdigest(), file.tell(), file)


def at_once[T, R](work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Call ``work`` for eight items at a time, and return its results in order; it uses the storage and no database.

    If one fails, raise its error once those have ended that had begun.
    """
    every = list(items)
    if len(every) <= 1:
        # Each thread would open a connection of its own to the storage.
        return [work(one) for one in every]
    with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="files") as pool:
        return list(pool.map(work, every))


@contextmanager
def errors_of_job() -> Iterator[None]:
    """Raise errors of storing in the block as a job's: a person has to make room, and the storage may come back."""
    try:
        yield
    except DataKeyUnavailableError as error:
        raise TransientError(str(error), code=error.code) from error
    except DomainError as error:
        raise PermanentError(str(error), code=error.code) from error
    except storage_errors() as error:
        reason = getattr(error, "strerror", None) or error
        raise TransientError(f"The file storage is unavailable: {reason}.", code="storage_away") from error


def fetch(key: str, sha256: str) -> IO[bytes]:
    """Return a copy of a content on the local disk, to be read and closed; it is verified by its hash.

    It is temporary, or that of the machine's `FileCache`, which then keeps it. ``key`` must come from a row of the
    tenant and never from outside, because its owner is not checked. Raise `StoredFileError` if the file cannot be read
    or differs.
    """
    kept = file_cache()
    if kept is not None and (cached := kept.open(key, sha256)) is not None:
        return cached
    copy = download(key, sha256)
    if kept is not None:
        kept.add(key, copy)
    copy.seek(0)
    return copy


def read_bytes(key: str, sha256: str) -> bytes:
    """Return the whole content as bytes, verified by its hash; raise `StoredFileError` as `fetch` does."""
    with fetch(key, sha256) as copy:
        return copy.read()


def missing_files(keys: Sequence[str]) -> list[str]:
    """Return those of the keys that have no file in the storage."""
    return [key for key, exists in zip(keys, at_once(default_storage.exists, keys), strict=True) if not exists]


def discard_on_commit(tenant_id: UUID, *keys: str) -> None:
    """Delete these contents after the commit of this transaction, unless rows still refer to them.

    If the storage fails, the error is logged, and the next upkeep deletes them.
    """
    for key in keys:
        transaction.on_commit(partial(discard_unused, tenant_id, key), robust=True)


def discard_unused(tenant_id: UUID, key: str) -> bool:
    """Delete the content, unless a row of the tenant refers to it, it is reserved, or a legal hold keeps it.

    Return whether it was deleted.
    """
    with tenant_context(tenant_id):
        lock_contents([key])
        if used_keys([key]) or find_hold(tenant_id) is not None:
            return False
        content = Content.objects.filter(key=key).first()
        if content is not None:
            if not Content.objects.filter(pk=content.pk, held_until__lte=Now()).delete()[0]:
                return False
            change_stored(tenant_id=tenant_id, limit=STORAGE_BYTES, change=-content.size_bytes)
        default_storage.delete(key)
        forget(key)
    return True


@contextmanager
def discard_on_error(tenant_id: UUID) -> Iterator[list[str]]:
    """Delete the contents whose keys are appended to the yielded list, if the block raises an exception.

    The block is a transaction that stores contents.
    """
    written: list[str] = []
    try:
        yield written
    except BaseException:
        # The rows were rolled back; the stored files would remain.
        for key in written:
            discard_unused(tenant_id, key)
        raise


def store_contents(
    tenant_id: UUID, contents: Collection[NewContent], *, written: list[str], hold: timedelta = timedelta(0)
) -> None:
    """Store contents in the transaction of the rows that refer to them. Contents that exist already take no more space.

    ``written`` is the list of `discard_on_error`. For the time ``hold`` they count as used without a row. Raise
    `SpaceExceededError` if the tenant has no room for them.
    """
    by_key = {storage_key(tenant_id, content.sha256): content for content in contents}
    lock_contents(by_key)
    known = Content.objects.filter(key__in=by_key)
    if hold:
        known.update(held_until=Greatest("held_until", Now() + hold))
    new = {key: by_key[key] for key in by_key.keys() - set(known.values_list("key", flat=True))}
    size = sum(content.size_bytes for content in new.values())
    if size:
        check_room(tenant_id=tenant_id, limit=STORAGE_BYTES, wanted=size)

    seal_key = file_key(tenant_id) if by_key else None

    def write(key: str) -> None:
        if write_content(key, by_key[key], seal_key):
            written.append(key)

    at_once(write, by_key)
    Content.objects.bulk_create(
        Content(
            tenant_id=tenant_id,
            key=key,
            sha256=content.sha256,
            size_bytes=content.size_bytes,
            held_until=Now() + hold,
        )
        for key, content in new.items()
    )
    change_stored(tenant_id=tenant_id, limit=STORAGE_BYTES, change=size)


def storage_key(tenant_id: UUID, sha256: str) -> str:
    """Return the key under which a content with this hash is stored for the tenant."""
    return f"{tenant_id}/{sha256[:2]}/{sha256}"


def lock_contents(keys: Iterable[str]) -> None:
    """Lock these contents against storing and deleting until the transaction ends.

    They are locked in the order of the keys.
    """
    execute(_LOCK_CONTENTS, {"keys": sorted(set(keys)), "content_lock": LockClass.FILE_CONTENT.value}, is_planned=True)
