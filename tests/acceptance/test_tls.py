"""Every connection of the platform uses TLS, with verified certificates."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from django.conf import settings

from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import executions_of, submit, wait_for_all
from tests.acceptance.tls import make_certificates, tls_before
from tests.databases import TestDatabase


@dataclass(frozen=True, slots=True)
class SecureServers:
    """URLs like those of a managed service, and the same with an unrelated authority."""

    database_url: str
    redis_url: str
    untrusted_database_url: str
    untrusted_redis_url: str


@pytest.fixture
def servers(
    db: None, acceptance_database: TestDatabase, acceptance_broker_url: str, tmp_path: Path
) -> Iterator[SecureServers]:
    """Run PostgreSQL and the broker behind TLS."""
    certificates = make_certificates(tmp_path)
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    others = make_certificates(strangers)
    database, cache = urlsplit(acceptance_database.urls()["DATABASE_URL"]), urlsplit(acceptance_broker_url)
    assert database.port is not None
    assert cache.port is not None
    with (
        tls_before(database.port, certificates, speaks_postgresql=True) as database_port,
        tls_before(cache.port, certificates) as cache_port,
    ):

        def database_url(authority: Path) -> str:
            netloc = f"{database.username}:{database.password}@127.0.0.1:{database_port}"
            query = f"sslmode=verify-full&sslrootcert={authority}"
            return urlunsplit(database._replace(netloc=netloc, query=query))

        def redis_url(authority: Path) -> str:
            netloc = f"{cache.username}:{cache.password}@127.0.0.1:{cache_port}"
            query = f"ssl_cert_reqs=required&ssl_ca_certs={authority}"
            return urlunsplit(cache._replace(scheme="rediss", netloc=netloc, query=query))

        yield SecureServers(
            database_url(certificates.authority),
            redis_url(certificates.authority),
            database_url(others.authority),
            redis_url(others.authority),
        )


def test_jobs_run_with_every_connection_over_tls(
    servers: SecureServers, acceptance_database: TestDatabase, acme: Tenant, tmp_path: Path
) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "jobsplatform.settings.test",
        "DATABASE_URL": servers.database_url,
        "DATABASE_AUDITOR_URL": acceptance_database.urls()["DATABASE_AUDITOR_URL"],
        "REDIS_URL": servers.redis_url,
        "CACHE_URL": servers.redis_url,
        "SECRET_KEY": settings.SECRET_KEY,
    }
    environment.pop("DATABASE_OWNER_URL", None)
    logs = tmp_path / "logs"
    logs.mkdir()
    platform = Platform(environment, logs)
    try:
        platform.restart_stopped()
        jobs = submit(acme, "noop", *[{}] * 10)
        wait_for_all(jobs)
        # A job may have waited too long in its message and been returned.
        assert all(executions_of(job)[-1].outcome == "completed" for job in jobs)
    finally:
        platform.stop()


def test_server_without_certificate_of_the_authority_is_refused(servers: SecureServers) -> None:
    with psycopg.connect(servers.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(servers.untrusted_database_url)
    with redis.Redis.from_url(servers.redis_url) as client:
        assert client.ping() is True
    with (
        redis.Redis.from_url(servers.untrusted_redis_url) as client,
        pytest.raises(redis.ConnectionError, match="certificate verify failed"),
    ):
        client.ping()
