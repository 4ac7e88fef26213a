"""The adapter `redis_stream`: messages become entries of a stream of the Redis server of OUTBOX_REDIS_URL."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from django.utils.translation import gettext
from redis import Redis
from redis.exceptions import RedisError

from scheduling.kit.base import PermanentError, TransientError
from scheduling.kit.outbox import OutboxAdapter, OutboxDestination, OutboxItem
from tenants.database.platform_settings import platform_settings

STREAM: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}", re.ASCII)
# Of one stream; older ones are removed.
MAX_ENTRIES: Final = 100_000
SECONDS: Final = 5.0


class RedisStream(OutboxDestination):
    """A stream whose name begins with the tenant's id, so that no tenant writes into another's."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self._host = urlsplit(url).hostname or "redis"
        self._client: Any = Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)

    @property
    def dependency(self) -> str:
        """Return the name of the server."""
        return f"redis:{self._host}"

    def send(self, item: OutboxItem) -> None:
        """Add an entry. An attempt whose answer was lost adds a second one with the same `id`."""
        fields = {
            "id": str(item.id),
            "tenant": str(item.tenant_id),
            "topic": item.topic,
            "key": item.key,
            "timestamp": item.emitted_at.isoformat(),
            "data": json.dumps(item.message, ensure_ascii=False, separators=(",", ":"), sort_keys=True),
        }
        try:
            self._client.xadd(self.name, fields, maxlen=MAX_ENTRIES, approximate=True)
        except RedisError as error:
            raise TransientError(f"Redis has not taken the message: {error}", code="redis_error") from error


class RedisStreamAdapter(OutboxAdapter):
    """The adapter of Redis streams."""

    name = "redis_stream"

    def check(self, *, tenant_id: UUID, target: str) -> None:
        """Raise ValueError if the platform names no server, or the target is no name of a stream."""
        if not platform_settings.OUTBOX_REDIS_URL:
            raise ValueError(gettext("The platform has no OUTBOX_REDIS_URL: ask its operators to set it."))
        if not STREAM.fullmatch(target):
            raise ValueError(gettext("Use 1 to 100 letters, digits and the characters _ . : -"))

    def open(self, *, tenant_id: UUID, target: str) -> OutboxDestination:
        """Return the stream `outbox:{tenant id}:{target}`."""
        url = platform_settings.OUTBOX_REDIS_URL
        if not url:
            raise PermanentError("OUTBOX_REDIS_URL is not set.", code="outbox_redis_unset")
        return RedisStream(url, f"outbox:{tenant_id}:{target}")
