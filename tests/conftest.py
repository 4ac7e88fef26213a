"""Shared fixtures: databases used as the restricted role, and the cast (acme, globex, an outsider, staff)."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import TransactionTestCase
from django.utils import translation
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker
from rest_framework.test import APIClient

from tenants.access.memberships import add_member
from tenants.cache import redis_guards
from tenants.context import tenant_context
from tenants.database.conf import OWNER_ALIAS
from tenants.models import Role, Tenant
from tenants.tenancy.service import create_tenant
from tests.databases import NO_SERVERS, RUN_VARIABLE, TestDatabase, drop_blueprint
from tests.durations import record_seconds
from tests.examples import register_profiles
from tests.keys import issue_api_key
from tests.platform_settings import ChangePlatformSettings

# Tests read the pages of the console from its registry.
admin.autodiscover()
PASSWORD = "correct horse battery staple"
register_profiles()


BEGAN = time.monotonic()


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault(RUN_VARIABLE, uuid.uuid4().hex[:8])


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and not hasattr(session.config, "workerinput"):
        record_seconds(time.monotonic() - BEGAN)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        drop_blueprint()


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: DjangoDbBlocker, worker_id: str
) -> Iterator[TestDatabase]:
    """Create one database for each test process; overrides pytest-django's, which would use the restricted role."""
    if OWNER_ALIAS not in settings.DATABASES:
        pytest.fail(NO_SERVERS, pytrace=False)
    database = TestDatabase(worker_id)
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        database.create()
        # Django would TRUNCATE as the restricted role, which may not, and would lose the rows of migrations.
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda test_case: database.reset())
        yield database
        database.destroy()


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Reset the language of the last request after each test."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def closed_breakers() -> None:
    """Close the Redis breakers that another test has opened."""
    redis_guards._breaker_of.cache_clear()


@pytest.fixture
def change_platform_settings(settings: Settings) -> ChangePlatformSettings:
    """Return a function that sets keys of JOBS_PLATFORM until the test ends."""

    def change(**changes: Any) -> None:
        settings.JOBS_PLATFORM = {**settings.JOBS_PLATFORM, **changes}

    return change


@pytest.fixture
def database_urls(db: None, django_db_setup: TestDatabase) -> dict[str, str]:
    """Return DATABASE_URL and DATABASE_OWNER_URL of the test database, for processes that a test starts."""
    return django_db_setup.urls()


@pytest.fixture
def acme(db: None) -> Tenant:
    """Return the default tenant of the tests, on the plan team."""
    return create_tenant(slug="acme", name="Acme", plan="team")


@pytest.fixture
def globex(db: None) -> Tenant:
    """Return another tenant, on the plan sandbox, whose rows acme must not see."""
    return create_tenant(slug="globex", name="Globex", plan="sandbox")


@pytest.fixture
def acme_user(acme: Tenant) -> User:
    """Return an owner of acme with access to the console."""
    return _member(acme, "alice")


@pytest.fixture
def globex_user(globex: Tenant) -> User:
    """Return an owner of globex with access to the console."""
    return _member(globex, "greta")


@pytest.fixture
def outsider(db: None) -> User:
    """Return a user without memberships."""
    return User.objects.create_user("oscar", password=PASSWORD)


@pytest.fixture
def staff(db: None) -> User:
    """Return a member of the platform staff, with access to all tenants."""
    return User.objects.create_superuser("stella", password=PASSWORD)


@pytest.fixture
def in_acme(acme: Tenant) -> Iterator[Tenant]:
    """Enter the context of acme for the whole test, and return the tenant."""
    with tenant_context(acme):
        yield acme


@pytest.fixture
def api_client(db: None) -> Callable[[Tenant], APIClient]:
    """Return a function that creates an API client with a key of a tenant."""

    def client_of(tenant: Tenant) -> APIClient:
        client = APIClient()
        issued = issue_api_key(tenant=tenant, name="tests")
        client.credentials(HTTP_AUTHORIZATION=f"Api-Key {issued.token}")
        return client

    return client_of


def _member(tenant: Tenant, username: str) -> User:
    user = User.objects.create_user(username, password=PASSWORD)
    add_member(tenant=tenant, user=user, role=Role.OWNER)
    return user
