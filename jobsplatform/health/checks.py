"""Start-up checks of the servers; they have the tag `database` because they connect to the servers.

Every process that serves requests or runs jobs runs them. `tenants` checks the connection, the login role and the
migrations.
"""

from collections.abc import Sequence
from typing import Any

import redis
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

from jobsplatform.health.servers import broker_problems, open_broker, server_problems
from tenants.checks import is_database_at_hand
from tenants.database.conf import APP_ALIAS
from tenants.database.platform_settings import platform_settings


@register(Tags.database)
def check_database_server(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Report PostgreSQL or pgvector if it is missing or too old."""
    if not is_database_at_hand(databases):
        return []

    def fetch_one(statement: str) -> tuple[Any, ...] | None:
        with connections[APP_ALIAS].cursor() as cursor:
            cursor.execute(statement)
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row

    return [Error(problem.fault, hint=problem.cure, id="jobsplatform.E002") for problem in server_problems(fetch_one)]


@register(Tags.database)
def check_broker(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Report a broker that would drop messages. If it does not respond, only warn: jobs then wait in the database."""
    if APP_ALIAS not in (databases or ()):
        return []
    try:
        with open_broker(platform_settings.REDIS_URL) as client:
            problems = list(broker_problems(client))
    except redis.RedisError as error:
        return [
            checks.Warning(f"The broker does not respond: {error}", hint="Check REDIS_URL.", id="jobsplatform.W001")
        ]
    return [Error(problem.fault, hint=problem.cure, id="jobsplatform.E003") for problem in problems]


@register(Tags.database)
def check_secret_key(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Report a missing SECRET_KEY: each process would then generate its own key, and sessions would not be shared."""
    if APP_ALIAS not in (databases or ()) or platform_settings.IS_SECRET_KEY_GIVEN:
        return []
    return [
        Error(
            "SECRET_KEY is not set: each process generates its own, so sessions are valid in one process only.",
            hint="Set SECRET_KEY to 50 random characters, the same for all processes.",
            id="jobsplatform.E004",
        )
    ]
