"""Encryption of the parts of a backup, and of stored files, as streams of numbered chunks. The functions are pure.

Each part has a key of its own, derived from that of the backup or file. The nonce of a chunk is its number and whether
it is the last, so that chunks cannot be moved, left out, repeated or cut off.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK_BYTES: Final = 1024 * 1024
TAG_BYTES: Final = 16


class Readable(Protocol):
    """Anything that bytes can be read from."""

    def read(self, size: int, /) -> bytes: ...


class ChunkDamagedError(ValueError):
    """A chunk was altered, moved, left out or cut off, or was encrypted with another key."""


def encrypt(source: Iterable[bytes], secret: bytes, part: str) -> Iterator[bytes]:
    """Yield the encrypted chunks of a part; the pieces of ``source`` may have any size."""
    cipher, number, waiting = _cipher(secret, part), 0, bytearray()
    for piece in source:
        waiting += piece
        # The last chunk is known only at the end.
        while len(waiting) > CHUNK_BYTES:
            yield cipher.encrypt(_nonce(number, is_last=False), bytes(waiting[:CHUNK_BYTES]), None)
            del waiting[:CHUNK_BYTES]
            number += 1
    yield cipher.encrypt(_nonce(number, is_last=True), bytes(waiting), None)


def decrypt(source: Readable, secret: bytes, part: str) -> Iterator[bytes]:
    """Yield the decrypted chunks of a part, each after it was authenticated; raise ChunkDamagedError."""
    cipher, number, chunk = _cipher(secret, part), 0, _read_chunk(source)
    while True:
        following = _read_chunk(source)
        try:
            yield cipher.decrypt(_nonce(number, is_last=not following), chunk, None)
        except (InvalidTag, ValueError) as error:
            raise ChunkDamagedError(ChunkDamagedError.__doc__) from error
        if not following:
            return
        chunk, number = following, number + 1


def _cipher(secret: bytes, part: str) -> AESGCM:
    return AESGCM(hmac.digest(secret, f"backup part\n{part}".encode(), "sha256"))


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _read_chunk(source: Readable) -> bytes:
    """Return the next whole chunk, or what is left; a storage may return less than it is asked for."""
    wanted, found = CHUNK_BYTES + TAG_BYTES, bytearray()
    while len(found) < wanted and (piece := source.read(wanted - len(found))):
        found += piece
    return bytes(found)
