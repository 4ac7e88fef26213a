"""Clients of the cast, and one job in each state that matters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.access.memberships import add_member
from tenants.models import Role, Tenant
from tests.conftest import PASSWORD
from tests.integration.scheduling.acts import Start, Tick, begin, complete, fail, reload, submit
from tests.integration.scheduling.conftest import pool, start, tick, worker  # noqa: F401 - fixtures of this folder too


def session_of(user: User, **options: bool) -> APIClient:
    """A client with a session of the user, as a browser has one."""
    client = APIClient(**options)
    client.force_login(user)
    return client


@pytest.fixture
def acme_api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    """A program of acme, with an API key."""
    return api_client(acme)


@pytest.fixture
def globex_api(globex: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    """A program of another tenant."""
    return api_client(globex)


@pytest.fixture
def viewer_api(acme: Tenant) -> APIClient:
    """A member of acme who may only look."""
    viewer = User.objects.create_user("vera", password=PASSWORD)
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    return session_of(viewer)


@pytest.fixture
def outsider_api(outsider: User) -> APIClient:
    """Somebody who is logged in and belongs to no tenant."""
    return session_of(outsider)


@pytest.fixture
def staff_api(staff: User) -> APIClient:
    """Platform staff."""
    return session_of(staff)


@pytest.fixture
def available_job(acme: Tenant) -> Job:
    """A job of acme that waits for its turn."""
    return submit(acme)[0]


@pytest.fixture
def executing_job(acme: Tenant, tick: Tick, start: Start) -> Job:  # noqa: F811
    """A job of acme that a worker runs."""
    (job,) = submit(acme)
    tick()
    begin(start, job)
    return reload(job)


@pytest.fixture
def completed_job(acme: Tenant, tick: Tick, start: Start) -> Job:  # noqa: F811
    """A job of acme that is done."""
    (job,) = submit(acme)
    tick()
    complete(start, job)
    return reload(job)


@pytest.fixture
def retryable_job(acme: Tenant, tick: Tick, start: Start) -> Job:  # noqa: F811
    """A job of acme that failed once and backs off."""
    (job,) = submit(acme)
    tick()
    fail(start, job)
    return reload(job)


@pytest.fixture
def dead_job(acme: Tenant, tick: Tick, start: Start) -> Job:  # noqa: F811
    """A job of acme that is a dead letter."""
    (job,) = submit(acme, tags=("nightly",), fair_key="ann")
    tick()
    fail(start, job, is_permanent=True)
    return reload(job)
