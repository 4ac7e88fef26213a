"""Guards of the use of Redis: a circuit breaker for each server, and signatures of the values that pass through it.

All optional uses of one Redis server in a process (caches, rates, wake-ups) share one breaker. A server that does not
answer costs one time-out; then the breaker is open for OPEN_SECONDS and the uses continue without Redis. After that,
one of them tries, and the others continue without Redis until it has been answered. Code that must learn the state of
Redis itself, such as a probe of the dispatcher, tries in any case, and an answer closes the breaker.

Redis is not trusted: a process accepts from it only values that another process of the platform has written and signed
by HMAC-SHA-256, under keys derived from SECRET_KEY. A replaced key stays valid for verification as long as
SECRET_KEY_FALLBACKS lists it.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from functools import cache, lru_cache
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

# For uses that are worth less than a short wait.
TIMEOUT_SECONDS: Final = 0.1
OPEN_SECONDS: Final = 2.0
CODE_BYTES: Final = 32
# Seconds between two log lines about refused values; each line has the count since the last.
LOG_SECONDS: Final = 60.0


class RedisBreaker:
    """The circuit breaker of one Redis server, shared by the threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # None while it is closed.
        self._ask_again_at: float | None = None

    @property
    def is_closed(self) -> bool:
        """Return whether the last noted attempt succeeded, or none has been noted yet."""
        return self._ask_again_at is None

    def is_open(self) -> bool:
        """Return whether the caller should continue without Redis.

        After OPEN_SECONDS one caller gets False, so that it tries Redis for all.
        """
        if self._ask_again_at is None:
            return False
        with self._lock:
            now = time.monotonic()
            if self._ask_again_at is None or now < self._ask_again_at:
                return self._ask_again_at is not None
            self._ask_again_at = now + OPEN_SECONDS
            return False

    def note_failure(self) -> None:
        """Open the breaker for OPEN_SECONDS from now."""
        self._ask_again_at = time.monotonic() + OPEN_SECONDS

    def note_success(self) -> None:
        """Close the breaker."""
        if self._ask_again_at is not None:
            self._ask_again_at = None


def breaker_of(url: str) -> RedisBreaker:
    """Return the breaker of the Redis server in the URL, whatever the user, password and database in it."""
    return _breaker_of(urlsplit(url).netloc.rpartition("@")[2])


@cache
def _breaker_of(server: str) -> RedisBreaker:
    return RedisBreaker()


logger = logging.getLogger(__name__)


def sign(purpose: str, *parts: bytes) -> bytes:
    """Return the HMAC of the parts for one purpose. It is not valid for another purpose."""
    return _code(settings.SECRET_KEY, purpose, _framed(parts))


def is_signed(purpose: str, code: bytes, *parts: bytes) -> bool:
    """Return whether `code` is the HMAC of the parts for this purpose, under SECRET_KEY or one of its fallbacks."""
    text = _framed(parts)
    return any(
        constant_time_compare(code, _code(key, purpose, text))
        for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    )


class RefusalCount:
    """A counter of refusals by reason.

    It logs the first of a reason at once, then at most one line a minute with the count.
    """

    def __init__(self, event: str) -> None:
        self._event = event
        self._counts: dict[str, int] = {}
        self._logged_at: dict[str, float] = {}

    def note(self, reason: str) -> None:
        """Count one refusal, and log the count if the last log line for this reason is at least LOG_SECONDS old."""
        now = time.monotonic()
        self._counts[reason] = self._counts.get(reason, 0) + 1
        if now - self._logged_at.get(reason, -LOG_SECONDS) >= LOG_SECONDS:
            self._logged_at[reason] = now
            logger.warning(self._event, extra={"reason": reason, "count": self._counts.pop(reason)})


def _framed(parts: tuple[bytes, ...]) -> bytes:
    """Return the parts, each with its length in front: no two lists of parts give the same bytes."""
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _code(secret: str | bytes, purpose: str, text: bytes) -> bytes:
    return hmac.digest(_derived_key(secret, purpose), text, "sha256")


@lru_cache(maxsize=64)
def _derived_key(secret: str | bytes, purpose: str) -> bytes:
    return salted_hmac(f"jobsplatform.redis.{purpose}", "key", secret=secret, algorithm="sha256").digest()
