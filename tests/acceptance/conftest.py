"""A dispatcher and a worker on their own database and broker database, shared by the tests of a process."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis
from django.conf import settings
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from scheduling.dispatch import broker
from scheduling.models import LiveExecution, Worker
from tenants.context import all_tenants
from tenants.database.conf import APP_ALIAS
from tenants.database.platform_settings import platform_settings
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant
from tests.acceptance.packages import example, example_folder, plugin_worker  # noqa: F401 - fixtures of this folder too
from tests.acceptance.processes import eventually
from tests.acceptance.serving import SLOTS, START_SECONDS, Platform
from tests.brokers import empty_database
from tests.databases import TestDatabase, connect_as_owner
from tests.platform_settings import override_platform_settings

__all__ = ["SLOTS", "START_SECONDS", "Platform"]

_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, before any are deselected by marks."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("acceptance")


# Not of the session: the processes would go on beside the other tests.
@pytest.fixture(scope="package")
def acceptance_database(
    django_db_setup: TestDatabase, django_db_blocker: DjangoDbBlocker, worker_id: str
) -> Iterator[TestDatabase]:
    """Return a database separate from the other tests', whose uncommitted rows no process may read."""
    database = TestDatabase(f"{worker_id}_acceptance")
    with django_db_blocker.unblock():
        database.create()
        django_db_setup.use()
        yield database
        eventually(lambda: not _sessions_on(database.name), what="the processes' sessions have ended")
        database.destroy()
        django_db_setup.use()


@pytest.fixture(scope="session")
def acceptance_broker_url(worker_id: str) -> str:
    """Return a database of the broker separate from those of other tests and other test processes."""
    number = 2 + int(worker_id.removeprefix("gw") or 0) if worker_id.startswith("gw") else 2
    return urlunsplit(urlsplit(platform_settings.REDIS_URL)._replace(path=f"/{number}"))


@pytest.fixture(scope="package")
def shared_platform(
    acceptance_database: TestDatabase, acceptance_broker_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """Return the processes of this test process; none runs until a test starts them."""
    with redis.Redis.from_url(acceptance_broker_url) as client:
        empty_database(client)
    environment = os.environ | acceptance_database.urls()
    environment |= {
        "DJANGO_SETTINGS_MODULE": "jobsplatform.settings.test",
        "REDIS_URL": acceptance_broker_url,
        "CACHE_URL": acceptance_broker_url,
        "SECRET_KEY": settings.SECRET_KEY,
        "LOG_LEVEL": "INFO",
    }
    environment["HEARTBEAT_DIRECTORY"] = str(tmp_path_factory.mktemp("heartbeats"))
    platform = Platform(environment, tmp_path_factory.mktemp("platform"))
    yield platform
    platform.stop()


@pytest.fixture
def db(
    acceptance_database: TestDatabase,
    django_db_setup: TestDatabase,
    django_db_blocker: DjangoDbBlocker,
    acceptance_broker_url: str,
) -> Iterator[None]:
    """Commit in the acceptance database: processes read what a test writes."""
    broker.client.cache_clear()
    with django_db_blocker.unblock(), override_platform_settings(REDIS_URL=acceptance_broker_url):
        acceptance_database.use()
        yield
        connections[APP_ALIAS].close()
        django_db_setup.use()
    broker.client.cache_clear()


@pytest.fixture
def platform(db: None, shared_platform: Platform, request: pytest.FixtureRequest) -> Iterator[Platform]:
    """Return a running, idle platform: a dispatcher and a worker with three slots."""
    shared_platform.restart_stopped()
    eventually(_is_idle, what="the platform is idle")
    failed_before = request.session.testsfailed
    yield shared_platform
    shared_platform.stop_extras()
    if request.session.testsfailed > failed_before:
        sys.stdout.write(shared_platform.logs())
        # What a test that failed leaves behind, such as a drained worker, must fail no other test.
        shared_platform.stop()


@pytest.fixture
def acme(db: None) -> Tenant:
    """Return a new tenant on the plan team: nothing is rolled back, so each test has its own."""
    return create_tenant(slug=f"acme-{next(_numbers)}", plan="team")


@pytest.fixture
def globex(db: None) -> Tenant:
    """Return another tenant, on the plan sandbox."""
    return create_tenant(slug=f"globex-{next(_numbers)}", plan="sandbox")


@pytest.fixture
def initech(db: None) -> Tenant:
    """Return a third tenant, on the plan professional."""
    return create_tenant(slug=f"initech-{next(_numbers)}", plan="professional")


def _is_idle() -> bool:
    with all_tenants():
        return not LiveExecution.objects.exists() and Worker.objects.filter(status="online").exists()


def _sessions_on(database: str) -> int:
    """Return the number of the application's sessions; the owner may not terminate them."""
    connections[APP_ALIAS].close()
    with connect_as_owner(database) as owner:
        row = owner.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename <> current_user", [database]
        ).fetchone()
    assert row is not None
    return int(row[0])
