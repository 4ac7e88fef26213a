"""Given servers: they are checked, and every refusal names the fix."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
import redis
from django.core.checks import run_checks

from jobsplatform.embedded.servers import ServerUrls, running_servers
from jobsplatform.health.servers import (
    UnfitServerError,
    broker_problems,
    require_fit_broker,
    require_fit_database,
    role_problems,
    server_problems,
)
from tests.platform_settings import ChangePlatformSettings


@pytest.fixture(scope="module")
def servers() -> Iterator[ServerUrls]:
    """Return servers on which the test may act as administrator."""
    with running_servers(is_fast=True) as urls:
        yield urls


def test_restricted_role_on_valid_servers_is_accepted(servers: ServerUrls) -> None:
    require_fit_database(servers.database_url)
    require_fit_broker(servers.redis_url)


@pytest.mark.parametrize(("url", "reason"), [("admin_url", "is a superuser"), ("owner_url", "owns the database")])
def test_role_not_bound_by_row_security_is_refused(servers: ServerUrls, url: str, reason: str) -> None:
    privileged = getattr(servers, url)
    with pytest.raises(UnfitServerError, match=reason) as refusal:
        require_fit_database(privileged)
    assert "bootstrap_database --admin-url" in str(refusal.value)


def test_role_that_bypasses_row_security_is_refused(servers: ServerUrls) -> None:
    with psycopg.connect(servers.admin_url, autocommit=True) as administrator:
        administrator.execute("ALTER ROLE jobs_app BYPASSRLS")
        try:
            with pytest.raises(UnfitServerError, match="has BYPASSRLS"):
                require_fit_database(servers.database_url)
        finally:
            administrator.execute("ALTER ROLE jobs_app NOBYPASSRLS")


def test_database_without_the_extension_is_refused(servers: ServerUrls) -> None:
    # The administrator's own database lacks it; its role is refused as well.
    with pytest.raises(UnfitServerError, match="extension vector is missing"):
        require_fit_database(servers.admin_url)


@dataclass
class Answers:
    """A connection that answers statements as an older server does."""

    version: int = 15
    pgvector: str | None = "0.8.1"

    def __call__(self, statement: str) -> tuple[object, ...] | None:
        if "server_version_num" in statement:
            return (self.version,)
        return (self.pgvector,) if self.pgvector else None


@pytest.mark.parametrize(
    ("answers", "faults"),
    [
        (Answers(), []),
        (Answers(version=18), []),
        (Answers(version=14), ["PostgreSQL 14 is too old."]),
        (Answers(pgvector="0.7.4"), ["pgvector 0.7.4 is too old."]),
        # By number, not by text: 0.10 is newer than 0.8.
        (Answers(pgvector="0.10.0"), []),
        (Answers(version=13, pgvector=None), ["PostgreSQL 13 is too old.", "The extension vector is missing."]),
    ],
)
def test_versions_are_compared_by_number(answers: Answers, faults: list[str]) -> None:
    assert [problem.fault for problem in server_problems(answers)] == faults


def test_unreadable_role_counts_as_privileged() -> None:
    assert [problem.fault for problem in role_problems(lambda _statement: None)] != []


def test_broker_that_evicts_is_refused(servers: ServerUrls) -> None:
    with redis.Redis.from_url(servers.redis_admin_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(UnfitServerError, match="allkeys-lru") as refusal:
                require_fit_broker(servers.redis_url)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert "CONFIG SET maxmemory-policy noeviction" in str(refusal.value)


class OldRedis:
    """A client that answers INFO as Redis 6 does."""

    def info(self, section: str) -> dict[str, str]:
        return {"redis_version": "6.2.14"} if section == "server" else {"maxmemory_policy": "noeviction"}


def test_broker_that_is_too_old_is_refused() -> None:
    assert [problem.fault for problem in broker_problems(OldRedis())] == ["Redis 6.2.14 is too old."]


@pytest.mark.parametrize(
    ("check", "url"),
    [
        (require_fit_database, "postgresql://unknown@127.0.0.1:9/none"),
        (require_fit_broker, "redis://127.0.0.1:9/0"),
        (require_fit_broker, "not a url"),
    ],
)
def test_unreachable_server_is_named_by_its_variable(check: object, url: str) -> None:
    variable = "DATABASE_URL" if check is require_fit_database else "REDIS_URL"
    with pytest.raises(UnfitServerError, match=f"No connection to {variable}"):
        check(url)  # type: ignore[operator]


@pytest.mark.django_db
def test_start_up_checks_pass_on_valid_servers() -> None:
    assert run_checks(databases=["default"]) == []


@pytest.mark.django_db
def test_start_up_checks_refuse_to_serve_without_a_secret_key(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(IS_SECRET_KEY_GIVEN=False)
    assert "jobsplatform.E004" in [message.id for message in run_checks(databases=["default"])]


@pytest.mark.django_db
def test_unreachable_broker_is_a_warning(
    change_platform_settings: ChangePlatformSettings,
) -> None:
    change_platform_settings(REDIS_URL="redis://127.0.0.1:9/0")
    messages = run_checks(databases=["default"])
    assert [(message.id, message.is_serious()) for message in messages] == [("jobsplatform.W001", False)]
