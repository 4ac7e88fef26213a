"""Ed25519 keys that sign the heads of the audit log's chains.

Signing needs the private key AUDIT_SIGNING_KEY; verification needs AUDIT_PUBLIC_KEYS only, which lists the current and
earlier public keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from tenants.database.platform_settings import platform_settings


class SigningKeyMissingError(RuntimeError):
    """This process can verify but not sign: it has AUDIT_PUBLIC_KEYS but no AUDIT_SIGNING_KEY."""


def is_signing_key_given() -> bool:
    """Return whether AUDIT_SIGNING_KEY is set. If not, the key is derived from SECRET_KEY, for development."""
    return bool(platform_settings.AUDIT_SIGNING_KEY)


def require_signing_key() -> None:
    """Raise `ImproperlyConfigured` or `SigningKeyMissingError` unless this process has a lasting key to sign with."""
    if not (is_signing_key_given() or platform_settings.IS_SECRET_KEY_GIVEN):
        raise ImproperlyConfigured("Set AUDIT_SIGNING_KEY: the auditor signs with it.")
    _private_key()


def sign(message: bytes) -> str:
    """Return the base64 signature of `message` by this process's signing key."""
    return base64.b64encode(_private_key().sign(message)).decode()


def signing_key_id() -> str:
    """Return the id of the key that this process signs with."""
    return key_id_of(public_key_text())


def public_key_text() -> str:
    """Return the base64 public key of this process's signing key, as other processes need it for verification."""
    return _text_of(_private_key().public_key())


def is_signed(message: bytes, *, signature: str, key_id: str) -> bool | None:
    """Return whether `signature` is valid for `message` and the key; None if this process does not have the key."""
    key = known_public_keys().get(key_id)
    if key is None:
        return None
    try:
        key.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, binascii.Error):
        return False
    return True


def known_public_keys() -> dict[str, Ed25519PublicKey]:
    """Return the current and earlier public keys, by key id."""
    texts = list(platform_settings.AUDIT_PUBLIC_KEYS)
    if is_signing_key_given() or not texts:
        texts.append(public_key_text())
    return {key_id_of(text): _read_public_key(text) for text in texts}


def key_id_of(public_key: str) -> str:
    """Return the id of a public key: the first 16 hexadecimal digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(base64.b64decode(public_key)).hexdigest()[:16]


def _private_key() -> Ed25519PrivateKey:
    given = platform_settings.AUDIT_SIGNING_KEY
    if not given and platform_settings.AUDIT_PUBLIC_KEYS:
        raise SigningKeyMissingError(SigningKeyMissingError.__doc__)
    return _read_private_key(given, settings.SECRET_KEY)


@lru_cache(maxsize=4)
def _read_private_key(given: str, secret_key: str) -> Ed25519PrivateKey:
    if not given:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"audit heads\n{secret_key}".encode()).digest())
    try:
        if "-----BEGIN" in given:
            # An environment file has single lines only, so line ends may be written as \n.
            key = load_pem_private_key(given.replace("\\n", "\n").encode(), password=None)
            if not isinstance(key, Ed25519PrivateKey):
                raise ImproperlyConfigured("AUDIT_SIGNING_KEY is not an Ed25519 key.")
            return key
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(given, validate=True))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ImproperlyConfigured("AUDIT_SIGNING_KEY is neither a PEM nor 32 bytes in base64.") from error


@lru_cache(maxsize=64)
def _read_public_key(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError as error:
        raise ImproperlyConfigured(f"AUDIT_PUBLIC_KEYS: {text!r} is not 32 bytes in base64.") from error


def _text_of(key: Ed25519PublicKey) -> str:
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
