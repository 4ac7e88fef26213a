"""Whether a PostgreSQL and a Redis server that somebody gave us will do: version, extension, role, policy.

Plain psycopg and redis-py, for the development launcher and for Django's start-up checks alike.
Every problem names its cure.
"""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import redis

MINIMUM_POSTGRES = 15
MINIMUM_PGVECTOR = (0, 8)
MINIMUM_REDIS = 7
_TIMEOUT_SECONDS = 5

type FetchOne = Callable[[str], tuple[Any, ...] | None]


class UnfitServerError(RuntimeError):
    """A given server cannot serve the platform."""


def database_problems(fetch_one: FetchOne) -> Iterator[str]:
    """Yield what is wrong with the database behind `fetch_one`, which runs one statement and returns its first row."""
    version = _single(fetch_one, "SELECT current_setting('server_version_num')::int / 10000")
    if version < MINIMUM_POSTGRES:
        yield (
            f"PostgreSQL {version} is too old. Point DATABASE_URL at PostgreSQL {MINIMUM_POSTGRES} or newer."
        )
    yield from _extension_problems(fetch_one)
    yield from _role_problems(fetch_one)


def _single(fetch_one: FetchOne, statement: str) -> Any:
    row = fetch_one(statement)
    return row[0] if row else None


def _extension_problems(fetch_one: FetchOne) -> Iterator[str]:
    version = _single(fetch_one, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    wanted = ".".join(map(str, MINIMUM_PGVECTOR))
    if version is None:
        yield (
            f"The extension vector is missing. Install pgvector {wanted} or newer on the server, "
            "then run: python manage.py bootstrap_database --admin-url URL"
        )
    elif tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_PGVECTOR:
        yield (
            f"pgvector {version} is too old. Install {wanted} or newer on the server, "
            "then run as administrator: ALTER EXTENSION vector UPDATE"
        )


def _role_problems(fetch_one: FetchOne) -> Iterator[str]:
    """Yield why row-level security would not bind the role that DATABASE_URL names."""
    row = fetch_one(
        "SELECT current_user, rolsuper, rolbypassrls, EXISTS ("
        "  SELECT FROM pg_class WHERE relowner = pg_roles.oid AND relkind IN ('r', 'p')"
        "  AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_'))"
        " FROM pg_roles WHERE rolname = current_user"
    )
    role, is_superuser, bypasses, owns_tables = row or ("?", True, True, True)
    reasons = [
        reason
        for reason, holds in (
            ("is a superuser", is_superuser),
            ("has BYPASSRLS", bypasses),
            ("owns tables", owns_tables),
        )
        if holds
    ]
    if reasons:
        yield (
            f"The role {role} {' and '.join(reasons)}: row-level security would not hold tenants apart. "
            "Point DATABASE_URL at the restricted role and DATABASE_OWNER_URL at the owner; "
            "python manage.py bootstrap_database --admin-url URL makes both."
        )


def broker_problems(client: "redis.Redis") -> Iterator[str]:
    """Yield what is wrong with the broker."""
    information: dict[str, Any] = client.info("server")  # type: ignore[assignment]
    version = str(information.get("valkey_version") or information["redis_version"])
    if int(version.split(".")[0]) < MINIMUM_REDIS:
        yield f"Redis {version} is too old. Point REDIS_URL at Redis or Valkey {MINIMUM_REDIS} or newer."
    memory: dict[str, Any] = client.info("memory")  # type: ignore[assignment]
    policy = memory["maxmemory_policy"]
    if policy != "noeviction":
        yield (
            f"The broker's maxmemory-policy is {policy}: under pressure it would drop messages. "
            "Run: redis-cli CONFIG SET maxmemory-policy noeviction (and set it in its configuration), "
            "or give the broker a server of its own."
        )


def require_fit_database(url: str) -> None:
    """Raise UnfitServerError, with the cure, unless the database will do."""
    try:
        with psycopg.connect(url, connect_timeout=_TIMEOUT_SECONDS) as connection:
            problems = list(database_problems(lambda statement: connection.execute(statement).fetchone()))
    except psycopg.OperationalError as error:
        raise UnfitServerError(f"No connection to DATABASE_URL: {error}".strip()) from error
    if problems:
        raise UnfitServerError("\n".join(problems))


def require_fit_broker(url: str) -> None:
    """Raise UnfitServerError, with the cure, unless the broker will do."""
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
        ) as client:
            problems = list(broker_problems(client))
    except (redis.RedisError, ValueError) as error:
        raise UnfitServerError(f"No connection to REDIS_URL: {error}") from error
    if problems:
        raise UnfitServerError("\n".join(problems))
