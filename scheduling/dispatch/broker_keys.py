"""Keys in the broker and the cache that contain a tenant's id, for the erasure of the tenant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

import redis
from django.conf import settings

from scheduling.dispatch.broker import BROKER_ERRORS, CONNECT_TIMEOUT_SECONDS, SOCKET_TIMEOUT_SECONDS
from scheduling.exceptions import BrokerUnavailableError
from tenants.database.platform_settings import platform_settings

# Keys per SCAN step.
SCAN_KEYS = 1_000


def count_keys_of(tenant_id: UUID) -> int:
    """Return how many keys in the broker and the cache contain this tenant's id; raise BrokerUnavailableError."""
    with _clients() as clients:
        return sum(len(_keys_of(client, tenant_id)) for client in clients)


def delete_keys_of(tenant_id: UUID) -> int:
    """Delete every key in the broker and the cache that contains this tenant's id; return how many.

    Raise BrokerUnavailableError.
    """
    with _clients() as clients:
        return sum(client.delete(*keys) for client in clients if (keys := _keys_of(client, tenant_id)))


def _keys_of(client: redis.Redis, tenant_id: UUID) -> list[bytes]:
    patterns = (f"*{tenant_id}*", f"*{tenant_id.hex}*")
    return [key for pattern in patterns for key in client.scan_iter(pattern, SCAN_KEYS)]


@contextmanager
def _clients() -> Iterator[list[redis.Redis]]:
    """Open clients of the broker and the cache, and close them in the end."""
    with ExitStack() as stack:
        try:
            yield [stack.enter_context(_client(place)) for place in (platform_settings.REDIS_URL, _cache_url())]
        except BROKER_ERRORS as error:
            raise BrokerUnavailableError(str(error)) from error


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url, socket_timeout=SOCKET_TIMEOUT_SECONDS, socket_connect_timeout=CONNECT_TIMEOUT_SECONDS
    )


def _cache_url() -> str:
    return str(settings.CACHES["default"]["LOCATION"])
