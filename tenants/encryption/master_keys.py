"""Master keys, which wrap data keys: keys in the environment or a file, and keys that never leave a key service."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.utils.module_loading import import_string

from tenants.encryption.envelope import (
    KEY_BYTES,
    MasterKeysInvalidError,
    SealBrokenError,
    decrypt,
    encrypt,
    master_id_of,
)
from tenants.encryption.exceptions import KeyProviderUnavailableError

ENTRY_POINT_GROUP: Final = "jobsplatform.key_providers"
# After a call without an answer, how long the next ones fail at once instead of waiting for their timeout.
AWAY_SECONDS: Final = 5.0
MAX_WRAPPED_BYTES: Final = 2_048
_MAX_FILE_BYTES: Final = 1_024
_BUILT_IN: Final = {
    "file": "tenants.encryption.master_keys.read_key_file",
    "aws_kms": "tenants.encryption.aws_kms.KmsKey",
    "vault": "tenants.encryption.vault.VaultKey",
}


class MasterKey(Protocol):
    """Key that wraps data keys. ``associated`` is authenticated with each: it can be unwrapped only with the same.

    Both methods raise `KeyProviderUnavailableError` without an answer and `KeyRefusedError` for a refusal.
    """

    def wrap(self, secret: bytes, associated: bytes) -> bytes:
        """Return a data key encrypted, in at most MAX_WRAPPED_BYTES."""

    def unwrap(self, wrapped: bytes, associated: bytes) -> bytes:
        """Return the decrypted data key; raise `SealBrokenError` if the bytes were altered."""


class LocalKey:
    """Master key whose 32 bytes this process has."""

    def __init__(self, text: str) -> None:
        secret = _read_key(text)
        self.id: Final = master_id_of(secret)
        self._cipher = AESGCM(secret)

    def wrap(self, secret: bytes, associated: bytes) -> bytes:
        """Return a data key encrypted by AES-256-GCM."""
        return encrypt(self._cipher, secret, associated)

    def unwrap(self, wrapped: bytes, associated: bytes) -> bytes:
        """Return the decrypted data key; raise `SealBrokenError` if the bytes were altered."""
        return decrypt(self._cipher, wrapped, associated)


class RemoteKey:
    """Master key of a key service. After a call without an answer, calls fail at once for AWAY_SECONDS."""

    def __init__(self, text: str, key: MasterKey) -> None:
        self.id: Final = master_id_of(text.encode())
        self._name = text.partition(":")[0]
        self._key = key
        self._away_until = 0.0

    def wrap(self, secret: bytes, associated: bytes) -> bytes:
        """Return a data key encrypted by the service."""
        wrapped = self._call(self._key.wrap, secret, associated)
        if len(wrapped) > MAX_WRAPPED_BYTES:
            raise KeyProviderUnavailableError("The key service %(name)s returned too many bytes.", {"name": self._name})
        return wrapped

    def unwrap(self, wrapped: bytes, associated: bytes) -> bytes:
        """Return a data key decrypted by the service; raise `SealBrokenError` if the bytes were altered."""
        secret = self._call(self._key.unwrap, wrapped, associated)
        if len(secret) != KEY_BYTES:
            raise SealBrokenError("The unwrapped key is not 32 bytes.")
        return secret

    def _call(self, work: Callable[[bytes, bytes], bytes], given: bytes, associated: bytes) -> bytes:
        if time.monotonic() < self._away_until:
            raise KeyProviderUnavailableError("The key service %(name)s did not answer.", {"name": self._name})
        try:
            return work(given, associated)
        except KeyProviderUnavailableError as error:
            if not error.is_refused:
                self._away_until = time.monotonic() + AWAY_SECONDS
            raise


class MasterKeys:
    """The master keys, which encrypt data keys.

    Each text is a key of 32 bytes in base64, or ``PROVIDER:REFERENCE``. The first key is current; the others only
    decrypt what they have encrypted. Raise `MasterKeysInvalidError` for a text that names no usable key.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        keys = [_open_key(text) for text in texts]
        self._keys: Mapping[str, LocalKey | RemoteKey] = {key.id: key for key in keys}
        self.current_id: Final = keys[0].id if keys else ""

    def __contains__(self, master_id: str) -> bool:
        return master_id in self._keys

    def wrap(self, secret: bytes, *, tenant_id: UUID, key_id: UUID) -> bytes:
        """Return a data key encrypted by the current master key."""
        return self._keys[self.current_id].wrap(secret, _associated_of_key(tenant_id, key_id))

    def unwrap(self, wrapped: bytes, *, master_id: str, tenant_id: UUID, key_id: UUID) -> bytes:
        """Return the decrypted data key.

        Raise KeyError if its master key is not configured, `SealBrokenError` if the encrypted bytes were altered,
        `KeyProviderUnavailableError` if a key service does not answer.
        """
        return self._keys[master_id].unwrap(wrapped, _associated_of_key(tenant_id, key_id))


@cache
def key_providers() -> Mapping[str, str]:
    """Return the dotted paths of key providers by name, from the product and from entry points."""
    found = dict(_BUILT_IN)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in found:
            raise MasterKeysInvalidError(f"Two key providers have the name {point.name!r}.")
        found[point.name] = point.value.replace(":", ".")
    return found


def read_key_file(path: str) -> LocalKey:
    """Return the key whose base64 a file holds; raise `MasterKeysInvalidError` if it cannot be read."""
    try:
        with Path(path).open(encoding="ascii") as file:
            return LocalKey(file.read(_MAX_FILE_BYTES).strip())
    except (OSError, ValueError) as error:
        if isinstance(error, MasterKeysInvalidError):
            raise
        raise MasterKeysInvalidError(f"The master key in {path} cannot be read: {error}.") from error


def _open_key(text: str) -> LocalKey | RemoteKey:
    name, colon, reference = text.partition(":")
    if not colon:
        return LocalKey(text)
    path = key_providers().get(name)
    if path is None:
        known = ", ".join(sorted(key_providers()))
        raise MasterKeysInvalidError(f"ENCRYPTION_MASTER_KEYS names no key provider; the providers are {known}.")
    try:
        key = import_string(path)(reference)
    except ImportError as error:
        raise MasterKeysInvalidError(f"The key provider {name} cannot be imported: {error}.") from error
    return key if isinstance(key, LocalKey) else RemoteKey(text, key)


def _associated_of_key(tenant_id: UUID, key_id: UUID) -> bytes:
    return f"data key|{tenant_id}|{key_id}".encode()


def _read_key(text: str) -> bytes:
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MasterKeysInvalidError("A key of ENCRYPTION_MASTER_KEYS is not base64.") from error
    if len(secret) != KEY_BYTES:
        raise MasterKeysInvalidError(f"A key of ENCRYPTION_MASTER_KEYS has {len(secret)} bytes; it must have 32.")
    return secret
