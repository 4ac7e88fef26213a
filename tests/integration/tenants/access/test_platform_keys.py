"""Keys of the platform: staff of all tenants within their scopes, issued by admins only, invisible to tenants."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from tenants.access.api_keys import IssuedKey, issue_api_key, revoke_api_key
from tenants.access.people import grant_platform_role
from tenants.access.permissions import KEY_PERMISSIONS, PLATFORM_KEY_PERMISSIONS, Permission, PlatformRole
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import ScopeUnknownError
from tenants.models import ApiKey, AuditLogEntry, PlatformKey, Tenant
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db
API = "/api/v1/"
KEYS = f"{API}platform-keys/"


def issue(*scopes: str, **options: Any) -> IssuedKey:
    return issue_api_key(tenant=None, name="saas", scopes=scopes or ["platform.view"], **options)


def client_of(issued: IssuedKey | str, **headers: str) -> APIClient:
    client = APIClient()
    token = issued if isinstance(issued, str) else issued.token
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {token}", **headers)
    return client


@pytest.fixture
def staff_api(staff: User) -> APIClient:
    client = APIClient()
    client.force_login(staff)
    return client


def test_key_acts_in_all_tenants_or_in_the_named_one(acme: Tenant, globex: Tenant) -> None:
    submit(acme), submit(globex)
    issued = issue("jobs.view", "platform.view")
    assert len(client_of(issued).get(f"{API}jobs/").json()["results"]) == 2
    assert len(client_of(issued, HTTP_X_TENANT="acme").get(f"{API}jobs/").json()["results"]) == 1
    assert client_of(issued).get(f"{API}queues/").status_code == 200
    unknown = client_of(issued, HTTP_X_TENANT="unknown").get(f"{API}jobs/")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "tenant_not_found")


def test_key_has_no_more_than_its_scopes(acme: Tenant) -> None:
    client = client_of(issue("platform.view"))
    assert client.get(f"{API}jobs/").status_code == 403
    assert client.post(f"{API}tenants/acme/suspend/", {"reason": "x"}, format="json").status_code == 403
    assert client.post(f"{API}queues/", {"name": "new", "pool": "default"}, format="json").status_code == 403


def test_key_writes_and_the_audit_log_names_it(acme: Tenant) -> None:
    issued = issue("tenants.operate")
    assert client_of(issued).post(f"{API}tenants/acme/suspend/", {"reason": "x"}, format="json").status_code == 200
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="tenant.suspended")
    assert (entry.actor_kind, entry.actor_id) == ("api_key", str(issued.key.pk))


def test_key_needs_a_tenant_for_changes_of_a_tenants_rows(acme: Tenant) -> None:
    issued = issue("jobs.submit")
    body = {"kind": "noop"}
    assert client_of(issued).post(f"{API}jobs/", body, format="json").json()["code"] == "tenant_required"
    assert client_of(issued, HTTP_X_TENANT="acme").post(f"{API}jobs/", body, format="json").status_code == 201


def test_scopes_leave_out_what_needs_a_person() -> None:
    for name in ("people.manage", "tenants.erase", "api_keys.manage", "jobs.reveal"):
        with pytest.raises(ScopeUnknownError):
            issue(name)
    assert KEY_PERMISSIONS < PLATFORM_KEY_PERMISSIONS


def test_tenants_key_cannot_have_scopes_of_the_platform(acme: Tenant) -> None:
    with pytest.raises(ScopeUnknownError):
        issue_api_key(tenant=acme, name="x", scopes=[Permission.PLATFORM_VIEW])


def test_tenant_neither_sees_nor_makes_keys_of_the_platform(acme: Tenant, acme_user: User) -> None:
    issued = issue()
    with tenant_context(acme):
        assert not ApiKey.objects.filter(pk=issued.key.pk).exists()
        assert not ApiKey._base_manager.filter(pk=issued.key.pk).exists()
        with pytest.raises(DatabaseError), transaction.atomic():
            ApiKey._base_manager.bulk_create([ApiKey(name="x", prefix="jp0000000000", secret_hash="x")])
    owner = APIClient()
    owner.force_login(acme_user)
    assert owner.get(KEYS).status_code == 403
    assert owner.get(f"{API}api-keys/").json()["results"] == []


def test_staffs_list_of_tenants_keys_has_none_of_the_platform(staff_api: APIClient) -> None:
    issued = issue()
    assert staff_api.get(f"{API}api-keys/").json()["results"] == []
    assert [row["prefix"] for row in staff_api.get(KEYS).json()["results"]] == [issued.key.prefix]


def test_admin_manages_keys_over_the_api(staff_api: APIClient, acme: Tenant) -> None:
    body = {"name": "saas", "scopes": ["tenants.manage", "platform.view"], "allowed_addresses": ["127.0.0.1"]}
    # X-Tenant, which other calls need, changes nothing here.
    made = staff_api.post(KEYS, body, format="json", headers={"X-Tenant": "acme"})
    assert made.status_code == 201, made.content
    assert made["Cache-Control"] == "no-store"
    token, url = made.json()["token"], f"{KEYS}{made.json()['id']}/"
    assert client_of(token).get(f"{API}tenants/").status_code == 200
    rotated = staff_api.post(f"{url}rotate/", {"reason": "x"}, format="json")
    assert rotated.status_code == 201
    assert client_of(rotated.json()["token"]).get(f"{API}tenants/").status_code == 200
    assert staff_api.post(f"{url}revoke/", {"reason": "x"}, format="json").status_code == 200
    assert client_of(token).get(f"{API}tenants/").status_code == 401


def test_no_key_manages_keys(acme: Tenant) -> None:
    client = client_of(issue(*PLATFORM_KEY_PERMISSIONS))
    assert client.get(KEYS).status_code == 200
    assert client.post(KEYS, {"name": "x", "scopes": ["jobs.view"]}, format="json").status_code == 403


def test_expired_revoked_and_foreign_use_is_refused(acme: Tenant) -> None:
    late = issue(expires_at=timezone.now() + timedelta(days=1))
    with all_tenants():
        ApiKey.objects.filter(pk=late.key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client_of(late).get(f"{API}queues/").json()["code"] == "key_expired"
    bound = issue(allowed_addresses=["203.0.113.0/24"])
    assert client_of(bound).get(f"{API}queues/").status_code == 403
    revoked = issue()
    revoke_api_key(api_key=revoked.key, reason="leaked")
    assert client_of(revoked).get(f"{API}queues/").status_code == 401


def test_key_ends_with_the_admin_who_issued_it(staff: User, staff_api: APIClient) -> None:
    grant_platform_role(user=User.objects.create_user("ada"), role=PlatformRole.ADMIN)
    made = staff_api.post(KEYS, {"name": "x", "scopes": ["platform.view"]}, format="json")
    grant_platform_role(user=staff, role=PlatformRole.AUDITOR)
    assert client_of(made.json()["token"]).get(f"{API}queues/").status_code == 401


def test_command_issues_and_revokes_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("issue_api_key", "--platform", "--scope", "tenants.manage", "--scope", "platform.view")
    token = capsys.readouterr().out.strip()
    assert client_of(token).get(f"{API}tenants/").status_code == 200
    call_command("revoke_api_key", token.split(".")[0])
    assert client_of(token).get(f"{API}tenants/").status_code == 401


def test_console_issues_lists_and_revokes_keys(staff: User) -> None:
    client = Client()
    client.force_login(staff)
    shown = client.post(reverse("admin:tenants_platformkey_add"), {"name": "saas", "scopes": ["tenants.manage"]})
    assert shown.status_code == 200
    with all_tenants():
        key = PlatformKey.objects.get()
    assert f"{key.prefix}.".encode() in shown.content
    assert (key.tenant_id, key.scopes) == (None, ["tenants.manage"])
    assert key.prefix.encode() in client.get(reverse("admin:tenants_platformkey_changelist")).content
    assert key.prefix.encode() not in client.get(reverse("admin:tenants_apikey_changelist")).content
    client.post(reverse("admin:tenants_platformkey_act", args=[key.pk, "revoke"]), {"reason": "leaked"})
    with all_tenants():
        assert PlatformKey.objects.get().revoked_at is not None
