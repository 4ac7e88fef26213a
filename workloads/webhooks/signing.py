"""How a delivery is signed, as the Standard Webhooks specification has it; and how its secret is kept.

The signature is over the message's id, the time of the attempt and the body, so that none of them can be changed, and
an old delivery that somebody has recorded is known by its time. The secret lies in the database under a key that is
made of SECRET_KEY: a copy of the database alone signs nothing.
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
    """The secret was sealed under a SECRET_KEY that this process does not know: rotate the webhook's secret."""


def new_secret() -> str:
    """A secret as its owner is shown it, once."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature, such as `v1,K5oZ…`."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = b".".join([message_id.encode(), str(timestamp).encode(), body])
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def headers_of(known: Sequence[str], *, message_id: str, timestamp: int, body: bytes) -> list[tuple[str, str]]:
    """The headers of a delivery; signed with each of the secrets, of which one is enough for who verifies."""
    signatures = [sign(secret, message_id=message_id, timestamp=timestamp, body=body) for secret in known]
    return [
        ("Webhook-Id", message_id),
        ("Webhook-Timestamp", str(timestamp)),
        ("Webhook-Signature", " ".join(signatures)),
    ]


def seal(secret: str) -> str:
    """The secret as it is kept."""
    return _box().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """The secret again; SecretUnreadableError where neither SECRET_KEY nor a fallback of it has sealed it."""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadableError from error


def _box() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [hashlib.sha256(b"webhook secrets\0" + str(key).encode()).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
