"""Operations on a broker that no process of the platform may run."""

from __future__ import annotations

import os

import redis

from tenants.database.platform_settings import platform_settings


def empty_database(client: redis.Redis) -> None:
    """Delete every key of the client's database, key by key: only an administrator may use FLUSHDB."""
    for key in client.scan_iter(count=1_000):
        client.delete(key)


def broker_administrator() -> redis.Redis:
    """Return a client with all rights; servers given by the caller have one user, which is the administrator."""
    return redis.Redis.from_url(os.environ.get("REDIS_ADMIN_URL") or platform_settings.REDIS_URL)
