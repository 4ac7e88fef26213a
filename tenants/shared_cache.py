"""What is asked at each request and changes seldom: from this process's memory, else from Redis, else from PostgreSQL.

Nobody has to be told of a change. What was read from PostgreSQL is in Redis for KEPT_SECONDS from the moment before it
was read, and a process keeps what it found for as long again: after a change every process has the new value within
twice that and one answer of Redis, which is less than a second. A Redis that is away is passed over; then each process
reads PostgreSQL itself, as often. ADR 0023 says why it is no more than that.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import redis
from django.conf import settings
from django.db import connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from tenants.signals import cache_asked

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 0.1
# How long a Redis that did not answer is not asked.
BACK_OFF_SECONDS: Final = 1.0
# Enough for what is busy within a moment; then all is read again.
_MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class _Kept[Value]:
    """A value in memory, until when it is good, and of which document it was made."""

    until: float
    digest: bytes
    value: Value


class SharedCache[Value]:
    """Values under texts. ``decode`` makes of a JSON document what is kept in memory, which nobody may change.

    ``seconds`` is for what may be older than configuration: each of the two keeps it for so long. ``shape`` rises with
    a change of what the document looks like: while versions of the platform run side by side, each reads its own.
    """

    def __init__(
        self, name: str, decode: Callable[[Any], Value], *, seconds: float | None = None, shape: int = 1
    ) -> None:
        self.name = name
        self._place = name if shape == 1 else f"{name}.{shape}"
        self._decode = decode
        self._seconds = seconds
        self._kept: dict[str, _Kept[Value]] = {}
        self._remembered = 0

    def get(self, key: str, read: Callable[[], Any]) -> Value:
        """The value, less than a second old unless it may be older; ``read`` asks PostgreSQL for its document."""
        seconds = kept_seconds() and (self._seconds or kept_seconds())
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
            text = json.dumps(read()).encode()
            # What somebody put meanwhile is newer, and may last longer.
            _write_shared(self._name_of(key), text, seconds - (time.monotonic() - began), is_new=True)
        digest = hashlib.blake2b(text, digest_size=16).digest()
        # As before, nearly always: then it need not be made again.
        value = kept.value if kept is not None and kept.digest == digest else self._decode(json.loads(text))
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        # From when it was asked for: what took long to come is kept the shorter.
        self._kept[key] = _Kept(now + seconds, digest, value)
        return value

    def put(self, key: str, document: Any, *, seconds: float) -> None:
        """Have everybody who does not have it in memory find this for so long; nobody where nothing is kept."""
        if kept_seconds():
            _write_shared(self._name_of(key), json.dumps(document).encode(), seconds)

    def forget(self, key: str) -> None:
        """Have everybody read the value anew who does not have it in memory; for after a change's commit."""
        self._kept.pop(key, None)
        _drop_shared(self._name_of(key))

    def _name_of(self, key: str) -> str:
        prefix = settings.CACHES["default"]["KEY_PREFIX"]
        return f"{prefix}:kept:{connection.settings_dict['NAME']}:{self._place}:{key}"

    def _tell_remembered(self) -> None:
        """Of those that memory answered since; that is most, and to tell of one takes longer than to answer it."""
        if self._remembered:
            count, self._remembered = self._remembered, 0
            self._tell("memory", count)

    def _tell(self, place: str, count: int = 1) -> None:
        cache_asked.send(None, cache=self.name, place=place, count=count)


def kept_seconds() -> float:
    """How long each of the two keeps a value; 0: none does."""
    return float(settings.CONFIGURATION_CACHE_SECONDS)


class _Shared:
    """The connection to Redis, and until when it is not asked."""

    def __init__(self) -> None:
        self.away_until = 0.0
        self.client = redis.Redis.from_url(
            str(settings.CACHES["default"]["LOCATION"]),
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def ask(self, command: Callable[[redis.Redis], Any]) -> Any:
        """What it answers; None while it is away."""
        if time.monotonic() < self.away_until:
            return None
        try:
            return command(self.client)
        except redis.RedisError as error:
            self.away_until = time.monotonic() + BACK_OFF_SECONDS
            logger.warning("shared_cache.away", extra={"error": str(error)})
            return None


@cache
def _shared() -> _Shared:
    return _Shared()


def _read_shared(name: str) -> bytes | None:
    held: bytes | None = _shared().ask(lambda client: client.get(name))
    return held


def _write_shared(name: str, text: bytes, seconds: float, *, is_new: bool = False) -> None:
    """Keep it for the rest of the time since it was read; what took longer to read is old by now.

    ``is_new``: only where there is nothing yet.
    """
    milliseconds = int(seconds * 1_000)
    if milliseconds > 0:
        _shared().ask(lambda client: client.set(name, text, px=milliseconds, nx=is_new))


def _drop_shared(name: str) -> None:
    if kept_seconds():
        _shared().ask(lambda client: client.delete(name))
