"""What the broker and the cache hold of a tenant, found by its id in their keys."""

from __future__ import annotations

from uuid import UUID

import redis
from django.conf import settings

from scheduling.broker import BROKER_ERRORS, CONNECT_TIMEOUT_SECONDS, SOCKET_TIMEOUT_SECONDS
from scheduling.exceptions import BrokerUnavailableError

# Keys that one step of a scan looks at.
SCAN_KEYS = 1_000


def count_keys_of(tenant_id: UUID) -> int:
    """How many keys bear this tenant's id, in the broker and the cache; raises BrokerUnavailableError."""
    return sum(len(keys) for _, keys in _keys_of(tenant_id))


def delete_keys_of(tenant_id: UUID) -> int:
    """Delete every key that bears this tenant's id, in the broker and the cache; how many.

    Raises BrokerUnavailableError.
    """
    try:
        return sum(client.delete(*keys) for client, keys in _keys_of(tenant_id) if keys)
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error


def _keys_of(tenant_id: UUID) -> list[tuple[redis.Redis, list[bytes]]]:
    places = (settings.REDIS_URL, str(settings.CACHES["default"]["LOCATION"]))
    patterns = (f"*{tenant_id}*", f"*{tenant_id.hex}*")
    clients = [
        redis.Redis.from_url(
            place, socket_timeout=SOCKET_TIMEOUT_SECONDS, socket_connect_timeout=CONNECT_TIMEOUT_SECONDS
        )
        for place in places
    ]
    try:
        return [
            (client, [key for pattern in patterns for key in client.scan_iter(pattern, SCAN_KEYS)])
            for client in clients
        ]
    except BROKER_ERRORS as error:
        raise BrokerUnavailableError(str(error)) from error
