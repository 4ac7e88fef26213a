"""Requirements on existing PostgreSQL and Redis servers: version, extension, role, eviction policy.

The module uses plain psycopg and redis-py, so that both the development launcher and Django's start-up checks can use
it. Every problem comes with its fix.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import redis

from tenants.database.options import connection_options
from tenants.database.sql import load_sql

MINIMUM_POSTGRES = 15
MINIMUM_PGVECTOR = (0, 8)
MINIMUM_REDIS = 7
_TIMEOUT_SECONDS = 5
_SQL = load_sql(__file__)

type FetchOne = Callable[[str], tuple[Any, ...] | None]


class UnfitServerError(RuntimeError):
    """An existing server is not suitable for the platform."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a server (``fault``), and how to fix it (``cure``)."""

    fault: str
    cure: str

    def __str__(self) -> str:
        return f"{self.fault}\n  Cure: {self.cure}"


def server_problems(fetch_one: FetchOne) -> Iterator[Problem]:
    """Yield the problems of a PostgreSQL server; `fetch_one` runs one statement there and returns its first row."""
    version = _single(fetch_one, _SQL["read_version"])
    if version < MINIMUM_POSTGRES:
        yield Problem(
            f"PostgreSQL {version} is too old.",
            f"Point DATABASE_URL at PostgreSQL {MINIMUM_POSTGRES} or newer.",
        )
    wanted = ".".join(map(str, MINIMUM_PGVECTOR))
    extension = _single(fetch_one, _SQL["read_vector_version"])
    if extension is None:
        yield Problem(
            "The extension vector is missing.",
            f"Install pgvector {wanted} or newer on the server, "
            "then run: python manage.py bootstrap_database --admin-url URL",
        )
    elif tuple(int(part) for part in extension.split(".")[:2]) < MINIMUM_PGVECTOR:
        yield Problem(
            f"pgvector {extension} is too old.",
            f"Install {wanted} or newer on the server, then run as administrator: ALTER EXTENSION vector UPDATE",
        )


def _single(fetch_one: FetchOne, statement: str) -> Any:
    row = fetch_one(statement)
    return row[0] if row else None


def role_problems(fetch_one: FetchOne) -> Iterator[Problem]:
    """Yield a problem if row-level security would not apply to the login role."""
    row = fetch_one(_SQL["read_role"])
    role, is_superuser, bypasses, is_owner = row or ("?", True, True, True)
    described = (("is a superuser", is_superuser), ("has BYPASSRLS", bypasses), ("owns the database", is_owner))
    reasons = [reason for reason, holds in described if holds]
    if reasons:
        yield Problem(
            f"The role {role} {' and '.join(reasons)}: row-level security would not isolate tenants.",
            "Point DATABASE_URL at the restricted role and DATABASE_OWNER_URL at the owner. python manage.py "
            "bootstrap_database --admin-url URL creates both.",
        )


def broker_problems(client: redis.Redis) -> Iterator[Problem]:
    """Yield the problems of a Redis server as the broker."""
    server: dict[str, Any] = client.info("server")
    version = str(server.get("valkey_version") or server["redis_version"])
    if int(version.split(".", 1)[0]) < MINIMUM_REDIS:
        yield Problem(f"Redis {version} is too old.", f"Point REDIS_URL at Redis or Valkey {MINIMUM_REDIS} or newer.")
    memory: dict[str, Any] = client.info("memory")
    policy = memory["maxmemory_policy"]
    if policy != "noeviction":
        yield Problem(
            f"The broker's maxmemory-policy is {policy}: with full memory it would drop messages.",
            "Run: redis-cli CONFIG SET maxmemory-policy noeviction, and set it in the server's configuration; or "
            "use a separate server for the broker.",
        )


def open_broker(url: str) -> redis.Redis:
    """Return a Redis client that has time-outs."""
    return redis.Redis.from_url(url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS)


def require_fit_database(url: str) -> None:
    """Raise UnfitServerError, with problems and fixes, unless the database is suitable."""
    try:
        with psycopg.connect(url, **connection_options()) as connection:

            def fetch_one(statement: str) -> tuple[Any, ...] | None:
                return connection.execute(statement).fetchone()

            problems = [*server_problems(fetch_one), *role_problems(fetch_one)]
    except psycopg.Error as error:
        raise UnfitServerError(f"No connection to DATABASE_URL: {error}".strip()) from error
    _refuse(problems)


def require_fit_broker(url: str) -> None:
    """Raise UnfitServerError, with problems and fixes, unless the broker is suitable."""
    try:
        with open_broker(url) as client:
            problems = list(broker_problems(client))
    except (redis.RedisError, ValueError) as error:
        raise UnfitServerError(f"No connection to REDIS_URL: {error}") from error
    _refuse(problems)


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise UnfitServerError("\n".join(map(str, problems)))
