"""`members/` and `api-keys/`: managed by owners, readable by others at most, isolated between tenants."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from tenants.access.memberships import add_member, remove_member
from tenants.access.people import deactivate_user
from tenants.context import all_tenants, tenant_context
from tenants.models import ApiKey, AuditLogEntry, Membership, Role
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db
API = "/api/v1/"


@pytest.fixture
def owner_api(acme_user: User) -> APIClient:
    client = APIClient()
    client.force_login(acme_user)
    return client


def key_client(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {token}")
    return client


def code_of(response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_owner_changes_and_removes_a_member(acme, owner_api, outsider):
    membership = add_member(tenant=acme, user=outsider, role=Role.DEVELOPER)
    url = f"{API}members/{membership.pk}/"
    shown = owner_api.get(url).json()
    assert set(shown) == {"id", "tenant", "username", "role", "created_at"}
    assert owner_api.patch(url, {"role": "viewer"}).json()["role"] == "viewer"
    assert {row["username"] for row in owner_api.get(f"{API}members/").json()["results"]} == {"alice", "oscar"}
    assert owner_api.delete(url).status_code == 204
    assert code_of(owner_api.get(url)) == (404, "not_found")
    with all_tenants():
        acts = list(
            AuditLogEntry.objects.filter(target_id=membership.pk).order_by("id").values_list("action", flat=True)
        )
    assert acts == ["membership.added", "membership.role_changed", "membership.removed"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"user": ""}, "invalid"),
        ({"user": 7}, "invalid"),
        ({"user": "alice", "role": "king"}, "field_invalid"),
        ({"user": "alice", "rank": "owner"}, "invalid"),
        ({}, "invalid"),
    ],
)
def test_invalid_member_is_refused_by_name(acme, owner_api, body, code):
    assert code_of(owner_api.post(f"{API}members/", body)) == (422, code)


def test_last_owner_cannot_be_removed(acme, owner_api):
    with tenant_context(acme):
        own = Membership.objects.get()
    assert code_of(owner_api.delete(f"{API}members/{own.pk}/")) == (409, "last_owner")
    assert code_of(owner_api.patch(f"{API}members/{own.pk}/", {"role": "viewer"})) == (409, "last_owner")


def test_rows_of_another_tenant_are_not_found(acme, globex, globex_user, owner_api):
    with tenant_context(globex):
        foreign = Membership.objects.get()
    key = issue_api_key(tenant=globex, name="theirs").key
    assert owner_api.get(f"{API}members/{foreign.pk}/").status_code == 404
    assert owner_api.patch(f"{API}members/{foreign.pk}/", {"role": "viewer"}).status_code == 404
    assert owner_api.delete(f"{API}members/{foreign.pk}/").status_code == 404
    assert owner_api.get(f"{API}api-keys/{key.pk}/").status_code == 404
    assert owner_api.post(f"{API}api-keys/{key.pk}/revoke/", {}).status_code == 404
    with all_tenants():
        assert Membership.objects.get(pk=foreign.pk).role == Role.OWNER
        assert ApiKey.objects.get(pk=key.pk).revoked_at is None


def test_changed_role_applies_from_the_next_request(acme, owner_api, outsider):
    membership = add_member(tenant=acme, user=outsider, role=Role.DEVELOPER)
    client = APIClient()
    client.force_login(outsider)
    assert client.post(f"{API}jobs/", {"kind": "noop"}).status_code == 201
    owner_api.patch(f"{API}members/{membership.pk}/", {"role": "viewer"})
    assert client.post(f"{API}jobs/", {"kind": "noop"}).status_code == 403
    assert client.get(f"{API}jobs/").status_code == 200
    owner_api.delete(f"{API}members/{membership.pk}/")
    assert code_of(client.get(f"{API}jobs/")) == (403, "no_membership")


def test_deactivated_member_is_unauthenticated(acme, staff, outsider):
    add_member(tenant=acme, user=outsider)
    client = APIClient()
    client.force_login(outsider)
    assert client.get(f"{API}jobs/").status_code == 200
    deactivate_user(user=outsider)
    assert client.get(f"{API}jobs/").status_code == 401


def test_key_is_issued_with_scopes_shown_once_and_revoked(acme, owner_api):
    expires = (timezone.now() + timedelta(days=1)).isoformat()
    issued = owner_api.post(
        f"{API}api-keys/", {"name": "ci", "scopes": ["jobs.view", "jobs.submit"], "expires_at": expires}
    )
    assert issued.status_code == 201, issued.content
    assert issued.headers["Cache-Control"] == "no-store"
    key = issued.json()
    assert key["scopes"] == ["jobs.submit", "jobs.view"]
    program = key_client(key["token"])
    assert program.post(f"{API}jobs/", {"kind": "noop"}).status_code == 201
    assert code_of(program.get(f"{API}datasets/")) == (403, "forbidden")
    url = f"{API}api-keys/{key['id']}/"
    shown = owner_api.get(url).json()
    assert "token" not in shown
    assert key["token"].partition(".")[2] not in owner_api.get(f"{API}api-keys/").content.decode()
    assert shown["last_used_at"] is not None
    assert owner_api.post(f"{url}revoke/", {"reason": "leaked"}).json()["revoked_at"] is not None
    assert program.get(f"{API}jobs/").status_code == 401
    with all_tenants():
        entries = AuditLogEntry.objects.filter(target_id=key["id"]).order_by("id")
        assert [(entry.action, entry.reason) for entry in entries] == [
            ("api_key.issued", ""),
            ("api_key.revoked", "leaked"),
        ]
        assert entries[0].after["scopes"] == ["jobs.submit", "jobs.view"]


def test_key_expires_after_ninety_days_unless_chosen_otherwise(acme, owner_api):
    body = {"name": "ci", "scopes": ["jobs.view"], "allowed_addresses": ["203.0.113.9/24"]}
    key = owner_api.post(f"{API}api-keys/", body).json()
    days = (
        datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"])
    ).total_seconds() / 86_400
    assert days == pytest.approx(90, abs=0.01)
    assert (key["created_by"], key["allowed_addresses"]) == ("alice", ["203.0.113.0/24"])
    endless = owner_api.post(f"{API}api-keys/", body | {"never_expires": True}).json()
    assert endless["expires_at"] is None


def test_rotated_key_is_accepted_for_seven_more_days(acme, owner_api):
    old = owner_api.post(f"{API}api-keys/", {"name": "ci", "scopes": ["jobs.view"]}).json()
    new = owner_api.post(f"{API}api-keys/{old['id']}/rotate/", {"reason": "yearly"}).json()
    assert (new["name"], new["scopes"]) == (old["name"], old["scopes"])
    assert [key_client(key["token"]).get(f"{API}jobs/").status_code for key in (old, new)] == [200, 200]
    end = datetime.fromisoformat(owner_api.get(f"{API}api-keys/{old['id']}/").json()["expires_at"])
    assert timedelta(days=6.9) < end - timezone.now() <= timedelta(days=7)
    with all_tenants():
        ApiKey.objects.filter(pk=old["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert owner_api.post(f"{API}api-keys/{old['id']}/rotate/", {}).json()["code"] == "key_ended"


def test_keys_of_a_removed_member_are_revoked(acme, acme_user, outsider):
    add_member(tenant=acme, user=outsider, role=Role.OWNER)
    leaving = APIClient()
    leaving.force_login(outsider)
    token = leaving.post(f"{API}api-keys/", {"name": "ci", "scopes": ["jobs.view"]}).json()["token"]
    others = issue_api_key(tenant=acme, name="others")
    with tenant_context(acme):
        remove_member(membership=Membership.objects.get(user=outsider))
    assert [key_client(each).get(f"{API}jobs/").status_code for each in (token, others.token)] == [401, 200]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["jobs.reveal"]},
        {"name": "x", "scopes": ["workflows.approve"]},
        {"name": "x", "scopes": ["tenant.manage"]},
        {"name": "x", "scopes": ["jobs.view"], "allowed_addresses": ["300.0.0.1"]},
        {"name": "x", "scopes": ["jobs.view"], "expires_at": "2199-01-01T00:00:00Z"},
        {"name": "x", "scopes": ["api_keys.manage"]},
        {"name": "x", "scopes": ["members.manage"]},
        {"name": "x", "scopes": ["people.manage"]},
        {"name": "x", "scopes": ["jobs.fly"]},
        {"name": "x", "scopes": ["jobs.view"], "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "x", "scopes": ["jobs.view"], "expires_at": "tomorrow"},
        {"name": ""},
        {"name": "x", "token": "mine"},
    ],
)
def test_invalid_key_request_is_refused(acme, owner_api, body):
    assert owner_api.post(f"{API}api-keys/", body).status_code == 422
    with tenant_context(acme):
        assert not ApiKey.objects.exists()


def test_keys_cannot_manage_keys_or_members_with_any_scope(acme, acme_user):
    issued = issue_api_key(tenant=acme, name="greedy")
    with tenant_context(acme):
        ApiKey.objects.filter(pk=issued.key.pk).update(scopes=["api_keys.manage", "members.manage", "people.manage"])
        member = Membership.objects.get()
    program = key_client(issued.token)
    assert program.post(f"{API}api-keys/", {"name": "more"}).status_code == 403
    assert program.post(f"{API}members/", {"user": "alice"}).status_code == 403
    assert program.delete(f"{API}members/{member.pk}/").status_code == 403


def test_expiry_is_checked_by_the_databases_clock(acme):
    issued = issue_api_key(tenant=acme, name="short", expires_at=timezone.now() + timedelta(hours=1))
    assert key_client(issued.token).get(f"{API}jobs/").status_code == 200
    with all_tenants():
        ApiKey.objects.filter(pk=issued.key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert key_client(issued.token).get(f"{API}jobs/").status_code == 401
