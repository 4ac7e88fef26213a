"""A cache with three levels (memory, Redis, PostgreSQL) for values that each request reads and that seldom change.

Values are not invalidated but expire. A value read from PostgreSQL stays in Redis for CONFIGURATION_CACHE_SECONDS,
counted from before the read, and a process keeps a value that it found for as long again. After a change each process
has the new value within twice that time and one response of Redis: less than a second by default. If Redis does not
answer, each process reads PostgreSQL at the same rate. ADR 0023 gives the reasons.

Redis is not trusted: a document there carries an HMAC over its name, its time of writing and its text. A document that
the platform did not write, or wrote under another name or more than a minute ago, counts as missing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from time import time as wall_clock
from typing import Any, Final

import redis
from django.conf import settings
from django.db import connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from tenants.cache import redis_guards
from tenants.cache.redis_guards import CODE_BYTES, TIMEOUT_SECONDS, RefusalCount, breaker_of
from tenants.database.platform_settings import platform_settings
from tenants.signals import cache_asked

logger = logging.getLogger(__name__)
_refused = RefusalCount("shared_cache.refused")

# The maximum age of a document, with room for clock differences: a replaced document must not be replayed.
OLDEST_SECONDS: Final = 60.0
_TIME = struct.Struct(">d")
_PURPOSE: Final = "cache"
# Enough for the keys in use at a time; beyond it the memory is cleared.
_MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class _Kept[Value]:
    """A value in memory, its end of validity, and the digest of its document."""

    until: float
    digest: bytes
    value: Value


class SharedCache[Value]:
    """A cache of values by key. ``decode`` converts a JSON document into the value, which callers must not change.

    A document for which ``is_secret`` returns True is cached in this process's memory only, not in Redis.
    """

    def __init__(
        self, name: str, decode: Callable[[Any], Value], *, is_secret: Callable[[Any], bool] = lambda document: False
    ) -> None:
        self.name = name
        self._decode = decode
        self._is_secret = is_secret
        self._kept: dict[str, _Kept[Value]] = {}
        self._remembered = 0

    def get(self, key: str, read: Callable[[], Any]) -> Value:
        """Return the value of a key, at most two cache periods old. ``read`` returns its JSON document from PostgreSQL.

        If caches are disabled, ``read`` is called each time.
        """
        seconds = cache_seconds()
        if not seconds:
            return self._decode(read())
        now = time.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now < kept.until:
            self._remembered += 1
            return kept.value
        self._tell_remembered()
        text = _read_shared(self._name_of(key))
        self._tell("database" if text is None else "shared")
        if text is None:
            began = time.monotonic()
            document = read()
            text = json.dumps(document).encode()
            if not self._is_secret(document):
                _write_shared(self._name_of(key), text, seconds - (time.monotonic() - began))
        digest = hashlib.blake2b(text, digest_size=16).digest()
        # Nearly always unchanged; then it need not be decoded again.
        value = kept.value if kept is not None and kept.digest == digest else self._decode(json.loads(text))
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        # Counted from before the read: a slow read shortens the validity.
        self._kept[key] = _Kept(now + seconds, digest, value)
        return value

    def forget(self, key: str) -> None:
        """Remove the value of a key from this process's memory and from Redis.

        Call it after a change has been committed.
        """
        self._kept.pop(key, None)
        _drop_shared(self._name_of(key))

    def _name_of(self, key: str) -> str:
        prefix = settings.CACHES["default"]["KEY_PREFIX"]
        return f"{prefix}:kept:{connection.settings_dict['NAME']}:{self.name}:{key}"

    def _tell_remembered(self) -> None:
        """Send the number of reads from memory since the last time: a signal for each would cost more than the read."""
        if self._remembered:
            count, self._remembered = self._remembered, 0
            self._tell("memory", count)

    def _tell(self, place: str, count: int = 1) -> None:
        cache_asked.send(None, cache=self.name, place=place, count=count)


def cache_seconds() -> float:
    """Return for how many seconds each level of the cache keeps a value; 0 if caches are disabled."""
    return float(platform_settings.CONFIGURATION_CACHE_SECONDS)


class _Shared:
    """The connection to Redis, used through its circuit breaker."""

    def __init__(self) -> None:
        self.url = str(settings.CACHES["default"]["LOCATION"])
        self.client = redis.Redis.from_url(
            self.url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def ask(self, command: Callable[[redis.Redis], Any]) -> Any:
        """Return the response, or None if Redis is not available."""
        breaker = breaker_of(self.url)
        if breaker.is_open():
            return None
        try:
            answer = command(self.client)
        except redis.RedisError as error:
            breaker.note_failure()
            logger.warning("shared_cache.away", extra={"error": str(error)})
            return None
        breaker.note_success()
        return answer


@cache
def _shared() -> _Shared:
    return _Shared()


def _read_shared(name: str) -> bytes | None:
    """Return the document's text; None if Redis has none that the platform wrote within the last minute."""
    held: bytes | None = _shared().ask(lambda client: _get_text(client, name))
    if held is None:
        return None
    code, written, text = held[:CODE_BYTES], held[CODE_BYTES : CODE_BYTES + _TIME.size], held[CODE_BYTES + _TIME.size :]
    if not redis_guards.is_signed(_PURPOSE, code, name.encode(), written, text):
        _refused.note("wrong signature")
        return None
    if abs(wall_clock() - _TIME.unpack(written)[0]) > OLDEST_SECONDS:
        _refused.note("too old")
        return None
    return text


def _get_text(client: redis.Redis, name: str) -> bytes | None:
    try:
        held: Any = client.get(name)
    except redis.ResponseError as error:
        if not str(error).startswith("WRONGTYPE"):
            raise
        # The next write replaces it.
        _refused.note("wrong type")
        return None
    text: bytes | None = held
    return text


def _write_shared(name: str, text: bytes, seconds: float) -> None:
    """Store the signed text for the seconds that it is still valid; store nothing if there are none left."""
    milliseconds = int(seconds * 1_000)
    if milliseconds > 0:
        written = _TIME.pack(wall_clock())
        document = redis_guards.sign(_PURPOSE, name.encode(), written, text) + written + text
        _shared().ask(lambda client: client.set(name, document, px=milliseconds))


def _drop_shared(name: str) -> None:
    if cache_seconds():
        _shared().ask(lambda client: client.delete(name))
