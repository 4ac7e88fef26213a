"""Platform roles: granted, changed, revoked, audited, applied from the next request, and never without an admin."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from tenants.access.caller import authenticate_api_key
from tenants.access.memberships import add_member
from tenants.access.people import activate_user, deactivate_user, grant_platform_role, revoke_platform_role
from tenants.access.permissions import PlatformRole
from tenants.context import Actor, acting_as, all_tenants
from tenants.exceptions import FieldInvalidError, LastAdminError, NoPlatformRoleError
from tenants.models import AuditLogEntry, PlatformMembership, Role
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db
API = "/api/v1/"


@pytest.fixture
def paula() -> User:
    return User.objects.create_user("paula", email="Paula@example.org", password="x")


def session_of(user: User) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def entries(action: str) -> list[AuditLogEntry]:
    with all_tenants():
        return list(AuditLogEntry.objects.filter(action=action).order_by("id"))


def test_role_grant_change_and_revocation_are_audited(staff, paula):
    grant_platform_role(user=paula, role="auditor", reason="joins")
    grant_platform_role(user=paula, role=PlatformRole.OPERATOR, reason="moves")
    revoke_platform_role(user=paula, reason="leaves")
    granted, changed, revoked = (entries(f"platform_role.{act}")[0] for act in ("granted", "changed", "revoked"))
    assert (granted.before, granted.after) == (None, {"name": "paula", "role": "auditor"})
    assert (changed.before["role"], changed.after["role"], changed.reason) == ("auditor", "operator", "moves")
    assert (revoked.before["role"], revoked.after["role"], revoked.tenant_id) == ("operator", None, None)


def test_granting_the_same_role_again_changes_nothing(staff, paula):
    grant_platform_role(user=paula, role="auditor")
    grant_platform_role(user=paula, role="auditor")
    assert not entries("platform_role.changed")


def test_role_opens_the_console_and_its_end_closes_it_without_membership(acme, staff, paula):
    console = Client()
    console.force_login(paula)
    grant_platform_role(user=paula, role="auditor")
    assert console.get("/admin/").status_code == 200
    revoke_platform_role(user=paula)
    assert console.get("/admin/").status_code == 302
    add_member(tenant=acme, user=paula)
    assert console.get("/admin/").status_code == 200
    paula.refresh_from_db()
    assert not paula.is_staff


def test_role_change_applies_from_the_next_request(acme, staff, paula):
    client = session_of(paula)
    assert client.get(f"{API}queues/").status_code == 403
    grant_platform_role(user=paula, role="auditor")
    assert client.get(f"{API}queues/").status_code == 200
    assert client.post(f"{API}queues/dataset/pause/", {"reason": "x"}).status_code == 403
    grant_platform_role(user=paula, role="operator")
    assert client.post(f"{API}queues/dataset/pause/", {"reason": "x"}).status_code == 200
    revoke_platform_role(user=paula)
    assert client.get(f"{API}queues/").status_code == 403


def test_platform_role_replaces_a_membership(acme, staff, paula):
    add_member(tenant=acme, user=paula, role=Role.OWNER)
    grant_platform_role(user=paula, role="auditor")
    client = session_of(paula)
    assert client.get(f"{API}jobs/", headers={"X-Tenant": "acme"}).status_code == 200
    assert client.post(f"{API}jobs/", {"kind": "noop"}, headers={"X-Tenant": "acme"}).status_code == 403


def test_last_admin_cannot_be_removed_in_any_way(staff, paula):
    for leave in (revoke_platform_role, deactivate_user, lambda user: grant_platform_role(user=user, role="operator")):
        with pytest.raises(LastAdminError):
            leave(user=staff)
    grant_platform_role(user=paula, role="admin")
    deactivate_user(user=staff)
    with pytest.raises(LastAdminError):
        revoke_platform_role(user=paula)
    activate_user(user=staff)
    revoke_platform_role(user=paula)


def test_superuser_with_another_role_is_no_longer_a_superuser(staff, paula):
    grant_platform_role(user=paula, role="admin")
    grant_platform_role(user=staff, role="auditor")
    staff.refresh_from_db()
    assert not staff.is_superuser
    assert session_of(staff).post(f"{API}queues/dataset/pause/", {"reason": "x"}).status_code == 403


def test_unknown_role_or_missing_role_is_refused(staff, paula):
    with pytest.raises(FieldInvalidError):
        grant_platform_role(user=paula, role="king")
    with pytest.raises(NoPlatformRoleError):
        revoke_platform_role(user=paula)


def test_deactivated_user_is_logged_out_with_sessions_ended(staff, paula):
    grant_platform_role(user=paula, role="auditor")
    client = session_of(paula)
    other = session_of(staff)
    assert client.get(f"{API}queues/").status_code == 200
    deactivate_user(user=paula, reason="lost laptop")
    assert client.get(f"{API}queues/").status_code == 401
    activate_user(user=paula)
    assert client.get(f"{API}queues/").status_code == 401, "the session of before must not come back"
    assert other.get(f"{API}queues/").status_code == 200
    (entry,) = entries("user.deactivated")
    assert (entry.after["ended_sessions"], entry.reason) == (1, "lost laptop")
    assert entries("user.activated")


def test_deactivation_revokes_the_keys_issued_by_the_account(staff, paula, acme, globex):
    with acting_as(Actor(kind="user", id=str(paula.pk), label="paula")):
        issued = [issue_api_key(tenant=tenant, name="paula's") for tenant in (acme, globex)]
    with acting_as(Actor(kind="user", id=str(staff.pk), label="stella")):
        kept = issue_api_key(tenant=acme, name="stella's")
    deactivate_user(user=paula, reason="lost laptop")
    assert [authenticate_api_key(token=key.token) for key in issued] == [None, None]
    assert authenticate_api_key(token=kept.token) == kept.key
    assert {(entry.tenant_id, entry.reason) for entry in entries("api_key.revoked")} == {
        (tenant.pk, "The account that issued it was deactivated.") for tenant in (acme, globex)
    }
    (entry,) = entries("user.deactivated")
    assert entry.after["revoked_keys"] == 2
    activate_user(user=paula)
    assert authenticate_api_key(token=issued[0].token) is None


def test_command_grants_and_revokes_roles(staff, paula):
    out = StringIO()
    call_command("grant_platform_role", "paula@EXAMPLE.org", "operator", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"username": "paula", "role": "operator"}
    assert PlatformMembership.objects.get(user=paula).role == "operator"
    call_command("grant_platform_role", "paula", "none", stdout=out)
    assert "paula no longer has a platform role." in out.getvalue()
    with pytest.raises(CommandError, match="no user"):
        call_command("grant_platform_role", "unknown", "operator")
    with pytest.raises(CommandError, match="Several"):
        User.objects.create_user("paul", email="paula@example.org")
        call_command("grant_platform_role", "paula@example.org", "operator")
