"""People join by invitation: offered by owners, accepted once by whoever has the link, with no word about accounts."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from tenants.context import all_tenants, tenant_context
from tenants.models import Invitation, Membership, Role, Tenant
from tests.person import client_of

API = "/api/v1/"
LONG = "a long pass phrase 7"


@pytest.fixture
def owner(acme_user: User) -> APIClient:
    return client_of(acme_user)


def invited(owner: APIClient, user: str, role: str = "developer") -> dict[str, str]:
    answer = owner.post(f"{API}members/", {"user": user, "role": role})
    assert answer.status_code == 201, answer.content
    told: dict[str, str] = answer.json()
    return told


def path_of(link: str) -> str:
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


def member_of(acme: Tenant, user: User) -> Membership | None:
    with tenant_context(acme):
        found: Membership | None = Membership.objects.filter(user=user).first()
    return found


def test_invited_account_joins_once_it_accepts(acme: Tenant, owner: APIClient, outsider: User) -> None:
    told = invited(owner, "oscar")
    assert (told["state"], told["invited_by"], told["is_mailed"]) == ("pending", "alice", False)
    assert member_of(acme, outsider) is None
    path, client = path_of(told["link"]), Client()
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
    assert owner.get(f"{API}invitations/{told['id']}/").json()["state"] == "accepted"
    assert client.post(path).status_code == 400


def test_invited_person_makes_an_account_whose_name_does_not_tell_which_are_taken(
    acme: Tenant, owner: APIClient, outsider: User
) -> None:
    path, client = path_of(invited(owner, "oscar@example.org")["link"]), Client()
    assert "too common" in client.post(path, {"username": "oscar", "password": "password"}).content.decode()
    answer = client.post(path, {"username": "oscar", "password": LONG})
    assert answer.status_code == 302
    made = User.objects.get(username__startswith="oscar-")
    assert (made.email, made.is_staff, made.is_superuser) == ("oscar@example.org", False, False)
    assert member_of(acme, made) is not None
    assert made.username in client.get("/admin/").content.decode()


def test_invitation_is_mailed_where_there_is_a_server(owner: APIClient, settings: object) -> None:
    settings.EMAIL_HOST = "mail.example.org"  # type: ignore[attr-defined]
    told = invited(owner, "eve@example.org")
    assert (told["is_mailed"], told["link"]) == (True, None)
    (sent,) = mail.outbox
    assert sent.to == ["eve@example.org"]
    assert "/admin/invitation/?token=" in sent.body
    assert invited(owner, "oscar")["link"], "the address of an account is not looked up"


def test_revoked_expired_and_repeated_invitations_are_over(acme: Tenant, owner: APIClient, outsider: User) -> None:
    first, second = invited(owner, "oscar"), invited(owner, "oscar")
    client = Client()
    client.force_login(outsider)
    assert client.get(path_of(first["link"])).status_code == 400
    owner.post(f"{API}invitations/{second['id']}/revoke/", {"reason": "x"})
    assert client.post(path_of(second["link"])).status_code == 400
    third = invited(owner, "oscar")
    with tenant_context(acme):
        Invitation.objects.filter(pk=third["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))
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
    call_command("add_member", "acme", "oscar", "--role=owner")
    membership = member_of(acme, outsider)
    assert membership is not None
    assert membership.role == Role.OWNER


def test_invitations_of_another_tenant_are_not_there(owner: APIClient, globex: Tenant, globex_user: User) -> None:
    foreign = invited(client_of(globex_user), "oscar")
    assert owner.get(f"{API}invitations/{foreign['id']}/").status_code == 404
    assert owner.post(f"{API}invitations/{foreign['id']}/revoke/", {}).status_code == 404
    with all_tenants():
        assert Invitation.objects.get(pk=foreign["id"]).revoked_at is None
