"""Signatures of deliveries by the Standard Webhooks specification, and encryption of the webhooks' secrets.

A signature covers the message's id, the time of the attempt and the body, so that none of them can be changed and a
replayed delivery is recognised by its time. A secret is stored encrypted with a key derived from SECRET_KEY, so that a
copy of the database alone cannot sign anything.
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
    """Raised for a secret that was encrypted with a SECRET_KEY unknown to this process.

    Replace the webhook's secret then.
    """


def new_secret() -> str:
    """Return a new secret, in the form in which it is shown once."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message by one secret, such as `v1,K5oZ…`."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = b".".join([message_id.encode(), str(timestamp).encode(), body])
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def is_signed(known: Sequence[str], signatures: str, *, message_id: str, timestamp: int, body: bytes) -> bool:
    """Return whether one of the secrets has made one of the signatures, which blanks separate; in constant time."""
    expected = [sign(secret, message_id=message_id, timestamp=timestamp, body=body).encode() for secret in known]
    given = [signature.encode("utf-8", "replace") for signature in signatures.split(" ")]
    matches = [hmac.compare_digest(one, other) for one in expected for other in given]
    return any(matches)


def headers_of(known: Sequence[str], *, message_id: str, timestamp: int, body: bytes) -> list[tuple[str, str]]:
    """Return the headers of a delivery, signed with each of the secrets; one signature that matches is enough."""
    signatures = [sign(secret, message_id=message_id, timestamp=timestamp, body=body) for secret in known]
    return [
        ("Webhook-Id", message_id),
        ("Webhook-Timestamp", str(timestamp)),
        ("Webhook-Signature", " ".join(signatures)),
    ]


def seal(secret: str) -> str:
    """Return the secret encrypted, as it is stored."""
    return _box().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """Return the decrypted secret; raise `SecretUnreadableError` if it was encrypted with none of the known keys.

    These are SECRET_KEY and its fallbacks.
    """
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadableError from error


def _box() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [hashlib.sha256(b"webhook secrets\0" + str(key).encode()).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
