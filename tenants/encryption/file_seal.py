"""Encryption of stored files as streams: a header, and the content in chunks under a key of the file's own.

The header has the id of the tenant's data key, and the file's key as that data key has encrypted it for the file's
name. A file without the header was stored before encryption was turned on, and is read as it is.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Final
from uuid import UUID

from tenants.encryption.chunks import CHUNK_BYTES, TAG_BYTES, ChunkDamagedError, Readable
from tenants.encryption.chunks import decrypt as decrypt_chunks
from tenants.encryption.chunks import encrypt as encrypt_chunks
from tenants.encryption.data_keys import existing_key, opening_key, sealing_key
from tenants.encryption.envelope import KEY_BYTES, DataKey, SealBrokenError, decrypt, encrypt, new_secret
from tenants.encryption.fields import is_sealing

# No text, and no beginning of a known type of file.
_MAGIC: Final = b"\x89sealed-file-1\r\n"
_ID_BYTES: Final = 16
HEADER_BYTES: Final = len(_MAGIC) + _ID_BYTES + 12 + KEY_BYTES + TAG_BYTES


def file_key(tenant_id: UUID) -> DataKey | None:
    """Return the key that encrypts the tenant's new files; None without encryption.

    It may read the database; `sealed_copy` does not, so that threads can call it.
    """
    return sealing_key(tenant_id) if is_sealing() else None


def existing_file_key(tenant_id: UUID) -> DataKey | None:
    """Return the key as `file_key` does, but create none; None also for a tenant without a data key.

    Raise `DataKeyUnavailableError` if it cannot be decrypted here.
    """
    return existing_key(tenant_id) if is_sealing() else None


def sealed_size(size: int) -> int:
    """Return the bytes that a content of ``size`` bytes takes when it is encrypted."""
    chunks = max(1, -(-size // CHUNK_BYTES))
    return HEADER_BYTES + size + chunks * TAG_BYTES


def is_sealed_file(head: bytes) -> bool:
    """Return whether a file with this beginning is encrypted; none is while encryption is off."""
    return is_sealing() and head.startswith(_MAGIC)


@contextmanager
def sealed_copy(file: IO[bytes], name: str, key: DataKey | None) -> Iterator[IO[bytes]]:
    """Yield an encrypted temporary copy of a seekable file, or the file itself without a key."""
    file.seek(0)
    if key is None:
        yield file
        return
    with tempfile.SpooledTemporaryFile(2 * CHUNK_BYTES) as copy:
        secret = new_secret()
        copy.write(_MAGIC + key.id.bytes + encrypt(key.cipher, secret, _place(name)))
        for chunk in encrypt_chunks(iter(partial(file.read, CHUNK_BYTES), b""), secret, name):
            copy.write(chunk)
        copy.seek(0)
        yield copy


def sealed_bytes(data: bytes, tenant_id: UUID, name: str) -> bytes:
    """Return the content of a file as it is to be stored: encrypted if encryption is on."""
    with sealed_copy(io.BytesIO(data), name, file_key(tenant_id)) as copy:
        return copy.read()


def opened_pieces(file: Readable, tenant_id: UUID, name: str) -> Iterator[bytes]:
    """Yield the content of a stored file, decrypted if it is encrypted.

    Raise `DataKeyUnavailableError`, or `SealBrokenError` if it was altered, cut off or stored under another name.
    """
    head = b""
    while len(head) < HEADER_BYTES and (piece := file.read(HEADER_BYTES - len(head))):
        head += piece
    if not is_sealed_file(head):
        yield head
        yield from iter(partial(file.read, CHUNK_BYTES), b"")
        return
    wrapped = head[len(_MAGIC) + _ID_BYTES :]
    key = opening_key(tenant_id, UUID(bytes=head[len(_MAGIC) :][:_ID_BYTES].ljust(_ID_BYTES)))
    try:
        yield from decrypt_chunks(file, decrypt(key.cipher, wrapped, _place(name)), name)
    except ChunkDamagedError as error:
        raise SealBrokenError(str(error)) from error


def _place(name: str) -> bytes:
    return f"file|{name}".encode()
