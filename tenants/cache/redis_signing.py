"""Message authentication codes for what passes through Redis: HMAC-SHA-256 under keys derived from SECRET_KEY.

Redis is not trusted: a process accepts from it only what another process of the platform has written. A key that was
replaced stays valid for verification as long as SECRET_KEY_FALLBACKS lists it.
"""

from __future__ import annotations

import hmac
import logging
import time
from functools import lru_cache
from typing import Final

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

logger = logging.getLogger(__name__)

CODE_BYTES: Final = 32
# Time between two lines of the log about refused values; each line has the count since the last.
LOG_SECONDS: Final = 60.0


def sign(purpose: str, *parts: bytes) -> bytes:
    """Return the code of the parts for one purpose: what is signed for another purpose is not accepted for this one."""
    return _code(settings.SECRET_KEY, purpose, _framed(parts))


def is_signed(purpose: str, code: bytes, *parts: bytes) -> bool:
    """Return whether the code is that of the parts under SECRET_KEY or one of its fallbacks."""
    text = _framed(parts)
    return any(
        constant_time_compare(code, _code(key, purpose, text))
        for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    )


class RefusalCount:
    """A counter of refusals that logs the first at once, and then at most one line a minute with the count."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._counts: dict[str, int] = {}
        self._logged_at: dict[str, float] = {}

    def note(self, reason: str) -> None:
        """Count one refusal, and log the count if the last line for this reason is a minute old."""
        now = time.monotonic()
        self._counts[reason] = self._counts.get(reason, 0) + 1
        if now - self._logged_at.get(reason, -LOG_SECONDS) >= LOG_SECONDS:
            self._logged_at[reason] = now
            logger.warning(self._event, extra={"reason": reason, "count": self._counts.pop(reason)})


def _framed(parts: tuple[bytes, ...]) -> bytes:
    """Return the parts, each behind its length: no two lists of parts give the same bytes."""
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _code(secret: str | bytes, purpose: str, text: bytes) -> bytes:
    return hmac.digest(_derived_key(secret, purpose), text, "sha256")


@lru_cache(maxsize=64)
def _derived_key(secret: str | bytes, purpose: str) -> bytes:
    return salted_hmac(f"jobsplatform.redis.{purpose}", "key", secret=secret, algorithm="sha256").digest()
