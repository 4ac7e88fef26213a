"""Invitations: sent by owners, accepted once by anyone with the link, without disclosing accounts."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from io import StringIO
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from tenants.access.memberships import add_member, change_role
from tenants.context import all_tenants, tenant_context
from tenants.database.locks import LockClass
from tenants.models import AuditLogEntry, Invitation, Membership, Role, Tenant
from tests.person import client_of

type Capture = Callable[..., AbstractContextManager[list[Callable[[], None]]]]

API = "/api/v1/"
LONG = "a long pass phrase 7"


class RefusingBackend(BaseEmailBackend):
    """A mail server that refuses all mail."""

    def send_messages(self, email_messages: object) -> int:
        raise OSError("refused")


@pytest.fixture
def owner(acme_user: User) -> APIClient:
    return client_of(acme_user)


def invited(owner: APIClient, user: str, role: str = "developer") -> dict[str, str]:
    answer = owner.post(f"{API}members/", {"user": user, "role": role})
    assert answer.status_code == 201, answer.content
    invitation: dict[str, str] = answer.json()
    return invitation


def path_of(link: str) -> str:
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


def member_of(acme: Tenant, user: User) -> Membership | None:
    with tenant_context(acme):
        found: Membership | None = Membership.objects.filter(user=user).first()
    return found


def test_invited_account_joins_once_it_accepts(acme: Tenant, owner: APIClient, outsider: User) -> None:
    invitation = invited(owner, "oscar")
    assert (invitation["state"], invitation["invited_by"], invitation["is_mailed"]) == ("pending", "alice", False)
    assert member_of(acme, outsider) is None
    path, client = path_of(invitation["link"]), Client()
    assert "log" in client.get(path).content.decode().lower()
    client.force_login(outsider)
    assert "You are invited to work in Acme" in client.get(path).content.decode()
    assert client.post(path).status_code == 302
    membership = member_of(acme, outsider)
    assert membership is not None
    assert membership.role == Role.DEVELOPER
    outsider.refresh_from_db()
    assert not outsider.is_staff
    assert client.get("/admin/").status_code == 200
    assert owner.get(f"{API}invitations/{invitation['id']}/").json()["state"] == "accepted"
    assert client.post(path).status_code == 400


def test_new_account_of_an_invitation_does_not_disclose_taken_names(
    acme: Tenant, owner: APIClient, outsider: User
) -> None:
    path, client = path_of(invited(owner, "oscar@example.org")["link"]), Client()
    assert "too common" in client.post(path, {"username": "oscar", "password": "password"}).content.decode()
    answer = client.post(path, {"username": "oscar", "password": LONG})
    assert answer.status_code == 302
    made = User.objects.get(username__startswith="oscar-")
    assert (made.email, made.is_staff, made.is_superuser) == ("", False, False), "the address is not verified"
    assert member_of(acme, made) is not None
    assert made.username in client.get("/admin/").content.decode()


def test_invitation_is_mailed_after_the_commit_if_a_server_is_set(
    owner: APIClient, settings: Settings, django_capture_on_commit_callbacks: Capture
) -> None:
    settings.EMAIL_HOST = "mail.example.org"
    with django_capture_on_commit_callbacks(execute=True):
        invited_eve = invited(owner, "eve@example.org")
        assert not mail.outbox
    assert (invited_eve["is_mailed"], invited_eve["link"]) == (True, None)
    (sent,) = mail.outbox
    assert sent.to == ["eve@example.org"]
    assert "/admin/invitation/?token=" in str(sent.body)
    Client().post(f"/admin/invitation/?{str(sent.body).split('?')[1].strip()}", {"username": "eve", "password": LONG})
    assert User.objects.get(username__startswith="eve-").email == "eve@example.org"
    assert invited(owner, "oscar")["link"], "the address of an account is not looked up"


def test_link_is_shown_after_mail_server_has_refused_an_invitation(
    acme: Tenant, owner: APIClient, settings: Settings, django_capture_on_commit_callbacks: Capture
) -> None:
    settings.EMAIL_HOST = "mail.example.org"
    settings.EMAIL_BACKEND = "tests.integration.tenants.access.test_invitations.RefusingBackend"
    with django_capture_on_commit_callbacks(execute=True):
        first = invited(owner, "eve@example.org")
    assert first["link"] is None
    assert owner.get(f"{API}invitations/{first['id']}/").json()["is_mailed"] is False
    with tenant_context(acme):
        assert AuditLogEntry.objects.filter(action="invitation.not_mailed").count() == 1
    second = invited(owner, "eve@example.org")
    assert second["is_mailed"] is False
    assert Client().post(path_of(second["link"]), {"username": "eve", "password": LONG}).status_code == 302


def test_replaced_invitation_leaves_an_audit_entry(acme: Tenant, owner: APIClient) -> None:
    first = invited(owner, "oscar")
    invited(owner, "Oscar")
    with tenant_context(acme):
        entry = AuditLogEntry.objects.get(action="invitation.revoked")
    assert (entry.target_id, entry.reason) == (first["id"], "Replaced by another invitation.")


def test_invitations_of_an_owner_end_with_the_right_to_invite(
    acme: Tenant, owner: APIClient, acme_user: User, outsider: User
) -> None:
    add_member(tenant=acme, user=outsider, role=Role.OWNER)
    invitation = invited(owner, "eve@example.org")
    membership = member_of(acme, acme_user)
    assert membership is not None
    change_role(membership=membership, role=Role.DEVELOPER)
    assert client_of(outsider).get(f"{API}invitations/{invitation['id']}/").json()["state"] == "revoked"


def test_invitation_of_deactivated_owner_is_refused(acme: Tenant, owner: APIClient, acme_user: User) -> None:
    invitation = invited(owner, "eve@example.org")
    User.objects.filter(pk=acme_user.pk).update(is_active=False)
    assert Client().post(path_of(invitation["link"]), {"username": "eve", "password": LONG}).status_code == 400
    assert not User.objects.filter(username__startswith="eve-").exists()


def test_inviting_locks_the_tenants_invitations_before_reading_them(acme: Tenant, owner: APIClient) -> None:
    with CaptureQueriesContext(connection) as asked:
        invited(owner, "oscar")
    statements = [query["sql"] or "" for query in asked.captured_queries]
    locked = next(place for place, sql in enumerate(statements) if str(LockClass.INVITATION_COUNT.value) in sql)
    read = next(place for place, sql in enumerate(statements) if 'FROM "tenants_invitation"' in sql)
    assert locked < read


def test_revoked_expired_and_repeated_invitations_are_over(acme: Tenant, owner: APIClient, outsider: User) -> None:
    first, second = invited(owner, "oscar"), invited(owner, "oscar")
    client = Client()
    client.force_login(outsider)
    assert client.get(path_of(first["link"])).status_code == 400
    owner.post(f"{API}invitations/{second['id']}/revoke/", {"reason": "x"})
    assert client.post(path_of(second["link"])).status_code == 400
    third = invited(owner, "oscar")
    with tenant_context(acme):
        Invitation.objects.filter(pk=third["id"]).update(expires_at=timezone.now() - timedelta(hours=1))
    assert client.post(path_of(third["link"])).status_code == 400
    states = [row["state"] for row in owner.get(f"{API}invitations/").json()["results"]]
    assert sorted(states) == ["expired", "revoked", "revoked"]
    assert member_of(acme, outsider) is None


def test_console_shows_the_link_once(acme: Tenant, acme_user: User) -> None:
    client = Client()
    client.force_login(acme_user)
    page = client.post("/admin/tenants/invitation/add/", {"invitee": "oscar", "role": "viewer"}).content.decode()
    assert "/admin/invitation/?token=" in page
    with tenant_context(acme):
        invitation = Invitation.objects.get()
    shown = client.get(f"/admin/tenants/invitation/{invitation.pk}/change/").content.decode()
    assert "pending" in shown
    assert "token=" not in shown


def test_command_adds_a_member_without_an_invitation(acme: Tenant, outsider: User) -> None:
    out = StringIO()
    call_command("add_member", "acme", "oscar", "--role=owner", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"tenant": "acme", "username": "oscar", "role": "owner"}
    membership = member_of(acme, outsider)
    assert membership is not None
    assert membership.role == Role.OWNER


def test_invitations_of_another_tenant_are_not_found(owner: APIClient, globex: Tenant, globex_user: User) -> None:
    foreign = invited(client_of(globex_user), "oscar")
    assert owner.get(f"{API}invitations/{foreign['id']}/").status_code == 404
    assert owner.post(f"{API}invitations/{foreign['id']}/revoke/", {}).status_code == 404
    with all_tenants():
        assert Invitation.objects.get(pk=foreign["id"]).revoked_at is None
