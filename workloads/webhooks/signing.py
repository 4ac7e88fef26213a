"""Signing of deliveries by the Standard Webhooks specification, and sealing of their secrets.

The signature covers the message's id, the time of the attempt and the body, so that none of them can be changed and a
replayed delivery is recognised by its time. The secret is stored encrypted with a key derived from SECRET_KEY: a copy
of the database alone signs nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


class SecretUnreadableError(Exception):
    """Secret that was sealed with a SECRET_KEY unknown to this process: rotate the webhook's secret."""


def new_secret() -> str:
    """Return a new secret in the form in which it is shown once."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return one signature, such as `v1,K5oZ…`."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = b".".join([message_id.encode(), str(timestamp).encode(), body])
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def headers_of(known: Sequence[str], *, message_id: str, timestamp: int, body: bytes) -> list[tuple[str, str]]:
    """Return the headers of a delivery, signed with each of the secrets; a receiver needs one match."""
    signatures = [sign(secret, message_id=message_id, timestamp=timestamp, body=body) for secret in known]
    return [
        ("Webhook-Id", message_id),
        ("Webhook-Timestamp", str(timestamp)),
        ("Webhook-Signature", " ".join(signatures)),
    ]


def seal(secret: str) -> str:
    """Return the secret in its stored form."""
    return _box().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """Return the secret; raise SecretUnreadableError if neither SECRET_KEY nor a fallback has sealed it."""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadableError from error


def _box() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [hashlib.sha256(b"webhook secrets\0" + str(key).encode()).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
