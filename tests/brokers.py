"""What tests do to a broker that no process of the platform may do."""

from __future__ import annotations

import os

import redis

from tenants.database.platform_settings import platform_settings


def empty_database(client: redis.Redis) -> None:
    """Delete every key of the client's database, key by key: FLUSHDB is the administrator's."""
    for key in client.scan_iter(count=1_000):
        client.delete(key)


def broker_administrator() -> redis.Redis:
    """Return a client that may do everything; given servers have one user, who is that."""
    return redis.Redis.from_url(os.environ.get("REDIS_ADMIN_URL") or platform_settings.REDIS_URL)
