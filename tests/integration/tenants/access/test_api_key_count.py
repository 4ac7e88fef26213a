"""The number of API keys of a tenant is limited by its plan."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from tenants.access.api_keys import revoke_api_key, rotate_api_key
from tenants.access.errors import KeyEndedError
from tenants.context import tenant_context
from tenants.limits.errors import ApiKeyLimitError
from tenants.limits.service import set_tenant_limit
from tenants.limits.tenancy_limits import API_KEYS
from tenants.limits.usage_queries import read_usage
from tenants.models import ApiKey, Tenant
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_keys(acme: Tenant) -> Tenant:
    set_tenant_limit(tenant=acme, key=API_KEYS.key, value=2, reason="a test")
    return acme


def issue(tenant: Tenant, **options: object) -> None:
    issue_api_key(tenant=tenant, name="a key", **options)  # type: ignore[arg-type]


def test_key_beyond_the_limit_is_refused(two_keys: Tenant, globex: Tenant) -> None:
    issue(two_keys)
    issue(two_keys)
    with pytest.raises(ApiKeyLimitError, match="Revoke an unused key"):
        issue(two_keys)
    issue(globex)


def test_revoked_and_expired_keys_do_not_count(two_keys: Tenant) -> None:
    issue(two_keys)
    with tenant_context(two_keys):
        ApiKey.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoke_api_key(api_key=issue_api_key(tenant=two_keys, name="revoked").key)
    issue(two_keys)
    issue(two_keys)
    with pytest.raises(ApiKeyLimitError):
        issue(two_keys)


def test_rotation_keeps_the_number_of_keys_that_count(two_keys: Tenant) -> None:
    issue(two_keys)
    old = issue_api_key(tenant=two_keys, name="old").key
    new = rotate_api_key(api_key=old).key
    with pytest.raises(KeyEndedError, match="already rotated"):
        rotate_api_key(api_key=old)
    rotate_api_key(api_key=new)
    with pytest.raises(ApiKeyLimitError):
        issue(two_keys)


def test_key_can_be_rotated_beyond_a_limit_that_was_lowered(two_keys: Tenant) -> None:
    issue(two_keys)
    key = issue_api_key(tenant=two_keys, name="old").key
    set_tenant_limit(tenant=two_keys, key=API_KEYS.key, value=1, reason="a test")
    assert rotate_api_key(api_key=key).token


def test_default_limit_is_fifty_keys(acme: Tenant) -> None:
    with tenant_context(acme):
        (line,) = [line for line in read_usage(acme.pk).lines if line.limit is API_KEYS]
    assert (line.allowed, line.used) == (50, 0)


def test_api_refuses_key_beyond_the_limit_as_a_problem(two_keys: Tenant, acme_user: User) -> None:
    issue(two_keys)
    issue(two_keys)
    client = APIClient()
    client.force_login(acme_user)
    response = client.post("/api/v1/api-keys/", {"name": "third", "scopes": ["jobs.view"]})
    assert (response.status_code, response.json()["code"]) == (422, "api_key_limit")
    assert response.json()["limit"]["key"] == "api_keys"


def test_console_refuses_key_beyond_the_limit(two_keys: Tenant, acme_user: User, client: Client) -> None:
    issue(two_keys)
    issue(two_keys)
    client.force_login(acme_user)
    page = client.post("/admin/tenants/apikey/add/", {"name": "third", "scopes": ["jobs.view"]}, follow=True)
    assert "The plan allows 2 API keys" in page.content.decode()
