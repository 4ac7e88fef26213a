"""Clients of each role, and one job in each state that matters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.access.memberships import add_member
from tenants.models import Role, Tenant
from tests.conftest import PASSWORD
from tests.integration.scheduling.conftest import pool, start, tick, worker  # noqa: F401 - fixtures of this folder too
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, fail, reload, submit


def session_of(user: User, **options: bool) -> APIClient:
    """Return a client with a browser session of the user."""
    client = APIClient(**options)
    client.force_login(user)
    return client


@pytest.fixture
def acme_api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    """Return a client with an API key of acme."""
    return api_client(acme)


@pytest.fixture
def globex_api(globex: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    """Return a client with an API key of another tenant."""
    return api_client(globex)


@pytest.fixture
def viewer_api(acme: Tenant) -> APIClient:
    """Return a client of a member of acme who has only the right to read."""
    viewer = User.objects.create_user("vera", password=PASSWORD)
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    return session_of(viewer)


@pytest.fixture
def outsider_api(outsider: User) -> APIClient:
    """Return a client of a user without a tenant."""
    return session_of(outsider)


@pytest.fixture
def staff_api(staff: User) -> APIClient:
    """Return a client of platform staff."""
    return session_of(staff)


@pytest.fixture
def available_job(acme: Tenant) -> Job:
    """Return a waiting job of acme."""
    return submit(acme)[0]


@pytest.fixture
def executing_job(acme: Tenant, tick: Tick, start: Start) -> Job:  # noqa: F811
    """Return a running job of acme."""
    (job,) = submit(acme)
    tick()
    begin(start, job)
    return reload(job)


@pytest.fixture
def completed_job(acme: Tenant, tick: Tick, start: Start) -> Job:  # noqa: F811
    """Return a completed job of acme."""
    (job,) = submit(acme)
    tick()
    complete(start, job)
    return reload(job)


@pytest.fixture
def retryable_job(acme: Tenant, tick: Tick, start: Start) -> Job:  # noqa: F811
    """Return a job of acme that failed once and backs off."""
    (job,) = submit(acme)
    tick()
    fail(start, job)
    return reload(job)


@pytest.fixture
def dead_job(acme: Tenant, tick: Tick, start: Start) -> Job:  # noqa: F811
    """Return a job of acme that is a dead letter."""
    (job,) = submit(acme, tags=("nightly",), fair_key="ann")
    tick()
    fail(start, job, is_permanent=True)
    return reload(job)
