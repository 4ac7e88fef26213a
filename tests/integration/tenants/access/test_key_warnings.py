"""Warnings before API keys expire: an audit entry, mail and a banner, once for each key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db.models.functions import Now
from django.test import Client, override_settings
from django.utils import timezone

from scheduling.alerts.sender import send_overdue
from scheduling.models import AlertMessage, UpkeepRun
from scheduling.upkeep.runs import run_upkeep
from tenants.access.api_keys import revoke_api_key, rotate_api_key
from tenants.access.memberships import add_member
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.models import ApiKey, AuditLogEntry, Role, Tenant
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db


def issue(tenant: Tenant, days: float, *, issuer: User | None = None, name: str = "loader") -> ApiKey:
    actor = Actor(kind="system") if issuer is None else Actor(kind="user", id=str(issuer.pk), label=str(issuer))
    with acting_as(actor):
        end = timezone.now() + timedelta(days=days)
        return issue_api_key(tenant=tenant, name=name, scopes=["jobs.view"], expires_at=end).key


def warned() -> list[AuditLogEntry]:
    with all_tenants():
        return list(AuditLogEntry.objects.filter(action="api_key.expiring").order_by("id"))


def warn() -> UpkeepRun:
    run = run_upkeep(name="ending_keys")
    assert run.outcome == UpkeepRun.Outcome.OK, run.error
    return run


def send_messages() -> None:
    """Let a dispatcher send the messages that no job has claimed."""
    with all_tenants():
        AlertMessage.objects.filter(state=AlertMessage.State.QUEUED).update(due_at=Now() - timedelta(seconds=9))
    send_overdue()


def overview_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.get("/admin/").content.decode()


def test_keys_expiring_within_14_days_are_warned_of_once(acme: Tenant, globex: Tenant) -> None:
    keys = [issue(acme, 13.9), issue(globex, 1)]
    issue(acme, 14.1)
    issue_api_key(tenant=acme, name="for ever", never_expires=True)
    assert warn().counts["keys_warned"] == 2
    assert warn().counts["keys_warned"] == 0
    assert {(entry.tenant_id, entry.target_id, entry.actor_kind) for entry in warned()} == {
        (key.tenant_id, str(key.pk), "system") for key in keys
    }
    assert warned()[0].after["expires_at"].startswith(f"{keys[1].expires_at:%Y-%m-%dT%H:%M:%S}")


def test_expired_revoked_and_rotated_keys_are_not_warned_of(acme: Tenant) -> None:
    ended, revoked, rotated = issue(acme, 1), issue(acme, 1), issue(acme, 10)
    with tenant_context(acme):
        ApiKey.objects.filter(pk=ended.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    revoke_api_key(api_key=revoked)
    rotate_api_key(api_key=rotated)
    assert warn().counts["keys_warned"] == 0
    assert warned() == []


@override_settings(EMAIL_HOST="mail.example.com")
def test_issuer_and_owners_are_mailed_separately(acme: Tenant, acme_user: User) -> None:
    issuer, gone, viewer = (
        User.objects.create_user(name, email=f"{name}@example.com", is_active=name != "gone")
        for name in ("issuer", "gone", "viewer")
    )
    add_member(tenant=acme, user=issuer, role=Role.DEVELOPER)
    add_member(tenant=acme, user=gone, role=Role.OWNER)
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    User.objects.filter(pk=acme_user.pk).update(email="alice@example.com")
    key = issue(acme, 3, issuer=issuer)
    warn()
    warn()
    send_messages()
    assert sorted(message.bcc for message in mail.outbox) == [["alice@example.com"], ["issuer@example.com"]]
    assert str(key) in mail.outbox[0].subject
    assert f"{key.expires_at:%Y-%m-%d %H:%M} UTC" in mail.outbox[0].body


def test_mail_is_not_sent_without_a_mail_server(acme: Tenant, acme_user: User) -> None:
    User.objects.filter(pk=acme_user.pk).update(email="alice@example.com")
    issue(acme, 3)
    warn()
    assert (mail.outbox, len(warned())) == ([], 1)


@override_settings(EMAIL_HOST="mail.example.com")
def test_warning_survives_a_refusing_mail_server(
    acme: Tenant, acme_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise ConnectionRefusedError("no mail today")

    User.objects.filter(pk=acme_user.pk).update(email="alice@example.com")
    issue(acme, 3)
    with monkeypatch.context() as patched:
        patched.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse)
        assert warn().counts["keys_warned"] == 1
        send_messages()
    assert mail.outbox == []
    send_messages()
    assert [message.bcc for message in mail.outbox] == [["alice@example.com"]]


def test_banner_is_shown_to_users_who_may_manage_the_tenants_keys(
    acme: Tenant, acme_user: User, globex_user: User
) -> None:
    key = issue(acme, 3, name="nightly loader")
    viewer = User.objects.create_user("viewer")
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    has_banner = {user.get_username(): str(key) in overview_of(user) for user in (acme_user, viewer, globex_user)}
    assert has_banner == {"alice": True, "viewer": False, globex_user.get_username(): False}
    with tenant_context(acme):
        ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() + timedelta(days=15))
    assert str(key) not in overview_of(acme_user)


def test_list_of_keys_marks_those_that_expire_soon(acme: Tenant, staff: User) -> None:
    issue(acme, 13.9, name="soon")
    issue(acme, 14.1, name="later")
    client = Client()
    client.force_login(staff)
    page = client.get("/admin/tenants/apikey/").content.decode()
    assert (page.count("ends soon"), page.count("valid<")) == (1, 1)
