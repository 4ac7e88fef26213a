"""AES-256-GCM encryption of data keys and of values. The functions are pure: they read no setting and no table.

A master key encrypts ("wraps") data keys; a data key encrypts ("seals") values. The location of a value (tenant, table,
row, field) is authenticated with it, so that a value copied to another location cannot be decrypted. A nonce is 12
random bytes, which is enough for 2^32 values under one data key. `rotate_encryption_keys --new-data-keys` starts
another data key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_VERSION: Final = "1"
# A stored value is sealed, or quoted, if it is an object with only this member.
MARK: Final = "$sealed"
_QUOTED: Final = "plain"
_PLAIN_TEXT: Final = "$plain:"


class SealBrokenError(ValueError):
    """The text was altered, or was not encrypted with this key for this location."""


class MasterKeysInvalidError(ValueError):
    """A master key is not 32 bytes in base64, and names no key of a provider."""


@dataclass(frozen=True, slots=True)
class SealContext:
    """The location of an encrypted value. The value can be decrypted only for this location."""

    tenant_id: UUID
    table: str
    row_id: UUID
    field: str

    @property
    def associated(self) -> bytes:
        return f"{self.tenant_id}|{self.table}|{self.row_id}|{self.field}".encode()


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key that encrypts and decrypts values of one tenant."""

    id: UUID
    cipher: AESGCM

    @classmethod
    def of(cls, key_id: UUID, secret: bytes) -> DataKey:
        return cls(key_id, AESGCM(secret))


def master_id_of(secret: bytes) -> str:
    """Return the id of a master key: the first 16 hexadecimal digits of a hash of its bytes, or of its name."""
    return hashlib.sha256(b"master key id\n" + secret).hexdigest()[:16]


def new_secret() -> bytes:
    """Return the random bytes of a new data key."""
    return os.urandom(KEY_BYTES)


def seal(value: Any, key: DataKey, place: SealContext) -> dict[str, str]:
    """Return a JSON value encrypted for its location, in the form in which it is stored."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    sealed = base64.b64encode(encrypt(key.cipher, text.encode(), place.associated)).decode()
    return {MARK: f"{_VERSION}:{key.id.hex}:{sealed}"}


def unseal(text: str, key: DataKey, place: SealContext) -> Any:
    """Return the decrypted value; raise `SealBrokenError` unless it was encrypted with this key for this location."""
    try:
        sealed = base64.b64decode(text.rpartition(":")[2], validate=True)
    except binascii.Error as error:
        raise SealBrokenError(SealBrokenError.__doc__) from error
    return json.loads(decrypt(key.cipher, sealed, place.associated))


def key_id_of(text: str) -> UUID:
    """Return the id of the data key that encrypted the text; raise `SealBrokenError` if it is no encrypted value."""
    version, _, rest = text.partition(":")
    name = rest.partition(":")[0]
    if version != _VERSION or len(name) != 32:
        raise SealBrokenError("The text is not a sealed value.")
    return _read_key_id(name)


@lru_cache(maxsize=4_096)
def _read_key_id(name: str) -> UUID:
    try:
        return UUID(hex=name)
    except ValueError as error:
        raise SealBrokenError("The text is not a sealed value.") from error


def quote(value: Any) -> Any:
    """Return a plain value in its stored form.

    A value that looks like an encrypted one is wrapped to tell them apart.
    """
    return {MARK: {_QUOTED: value}} if type(value) is dict and len(value) == 1 and MARK in value else value


def unquote(stored: Any) -> tuple[str | None, Any]:
    """Return a pair from a stored value: the encrypted text and None, or None and the plain value."""
    if type(stored) is not dict or len(stored) != 1 or MARK not in stored:
        return None, stored
    inner = stored[MARK]
    if isinstance(inner, dict) and len(inner) == 1 and _QUOTED in inner:
        return None, inner[_QUOTED]
    # Any other content was not written as a plain value.
    return str(inner), None


def quote_text(text: str | None) -> str | None:
    """Return a plain text in its stored form; one that looks like a stored form is marked as plain."""
    return f"{_PLAIN_TEXT}{text}" if text and text.startswith((f"{MARK}:", _PLAIN_TEXT)) else text


def unquote_text(stored: str | None) -> tuple[str | None, str | None]:
    """Return a pair from a stored text: the encrypted text and None, or None and the plain text."""
    if not stored or stored[0] != MARK[0]:
        return None, stored
    if stored.startswith(f"{MARK}:"):
        return stored.removeprefix(f"{MARK}:"), None
    return None, stored.removeprefix(_PLAIN_TEXT)


def digest_key(secret: bytes) -> bytes:
    """Return the key for hashes that is derived from a data key; the data key cannot be computed from it."""
    return hmac.digest(secret, b"digests of values", "sha256")


def encrypt(cipher: AESGCM, plain: bytes, associated: bytes) -> bytes:
    """Return a random nonce followed by the encrypted bytes and their tag."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, associated)


def decrypt(cipher: AESGCM, sealed: bytes, associated: bytes) -> bytes:
    """Return the decrypted bytes of `encrypt`; raise `SealBrokenError` if they were altered."""
    if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
        raise SealBrokenError("The text is too short.")
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], associated)
    except InvalidTag as error:
        raise SealBrokenError(SealBrokenError.__doc__) from error
