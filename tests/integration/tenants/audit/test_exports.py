"""Exports: a stream ends when the right to it is revoked, even in its middle."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from tenants.access.api_keys import revoke_api_key
from tenants.access.permissions import Permission
from tenants.access.reauthorization import PermissionRevokedError
from tenants.context import tenant_context
from tenants.models import AuditLogEntry, Membership, Tenant
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db(transaction=True)
EXPORT = "/api/v1/audit-log/?format=jsonl"
MANY_PAGES = 1_234


@pytest.fixture
def long_log(acme: Tenant) -> None:
    """Store more entries than a page of an export holds."""
    with tenant_context(acme):
        AuditLogEntry.objects.bulk_create(
            AuditLogEntry(tenant=acme, actor_kind="user", action="bulk", target_type="x") for _ in range(MANY_PAGES)
        )


def lines_until_the_end(response: object, lose_the_right: Callable[[], object]) -> int:
    """Return how many lines a stream returns if its reader loses its right after the first."""
    stream, lines = iter(response.streaming_content), 1  # type: ignore[attr-defined]
    next(stream)
    lose_the_right()
    try:
        for _ in stream:
            lines += 1
    except PermissionRevokedError:
        return lines
    pytest.fail(f"The stream has ended after {lines} lines.")


def test_export_ends_when_its_key_is_revoked(acme: Tenant, long_log: None) -> None:
    issued = issue_api_key(tenant=acme, name="auditor", scopes=[Permission.AUDIT_VIEW, Permission.AUDIT_EXPORT])
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {issued.token}")
    lines = lines_until_the_end(client.get(EXPORT), lambda: revoke_api_key(api_key=issued.key, reason="leaked"))
    assert 1 < lines < MANY_PAGES


def test_export_ends_when_its_reader_is_removed(acme: Tenant, acme_user: User, long_log: None) -> None:
    client = Client()
    client.force_login(acme_user)
    response = client.post(reverse("admin:tenants_auditlogentry_export"), {"format": "jsonl"})

    def remove() -> None:
        with tenant_context(acme):
            assert Membership.objects.filter(user=acme_user).delete()[0] == 1

    assert 1 < lines_until_the_end(response, remove) < MANY_PAGES


def test_export_is_complete_while_its_reader_keeps_the_right(acme: Tenant, acme_user: User, long_log: None) -> None:
    client = APIClient()
    client.force_login(acme_user)
    assert len(list(client.get(EXPORT).streaming_content)) >= MANY_PAGES
