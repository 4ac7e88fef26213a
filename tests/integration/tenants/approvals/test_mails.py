"""Mails about requests of approval: to those who may decide, and to the person who asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db.models.functions import Now
from django.test import override_settings
from django.urls import reverse

from scheduling.alerts.sender import send_overdue
from scheduling.approvals import mails
from scheduling.approvals.configured import APPROVAL_RULES
from scheduling.identity.configured import TENANT_ROLES
from scheduling.models import AlertMessage, UpkeepRun
from scheduling.upkeep.runs import run_upkeep
from tenants.access.memberships import add_member
from tenants.access.people import grant_platform_role
from tenants.approvals.mails import MOST_APPROVERS
from tenants.context import all_tenants, tenant_context
from tenants.models import ApprovalRequest, ApprovalRule, Membership, Role, Tenant, TenantRole
from tests.integration.api.conftest import session_of
from tests.integration.scheduling.job_helpers import submit
from tests.platform_settings import override_platform_settings
from tests.smtp_server import smtp_server

pytestmark = pytest.mark.django_db
BULK, REQUESTS = "/api/v1/bulk-operations/", "/api/v1/approval-requests/"
SECRET = "tag:card-4111"
CANCEL = {"filter": f"kind:noop {SECRET}", "operation": "cancel", "reason": "hidden words"}


@pytest.fixture(autouse=True)
def _mail_server() -> Any:
    with override_settings(EMAIL_HOST="mail.example.com"):
        yield


def person(name: str, tenant: Tenant, role: str = Role.DEVELOPER, **values: Any) -> User:
    user = User.objects.create_user(name, email=f"{name}@example.com", **values)
    add_member(tenant=tenant, user=user, role=role)
    return user


def ask(user: User) -> ApprovalRequest:
    """Ask for a bulk operation, and return the stored request."""
    APPROVAL_RULES.save(ApprovalRule(), {"act": "bulk"})
    answer = session_of(user).post(BULK, CANCEL, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "approval_required"), answer.json()
    with all_tenants():
        return ApprovalRequest.objects.get()


def recipients() -> list[str]:
    """Let a dispatcher send the messages, and return their recipients."""
    with all_tenants():
        AlertMessage.objects.filter(state=AlertMessage.State.QUEUED).update(due_at=Now() - timedelta(seconds=9))
    send_overdue()
    return sorted(address for message in mail.outbox for address in message.bcc)


@pytest.fixture
def alice(acme: Tenant) -> User:
    submit(acme, 1)
    return person("alice", acme)


def test_approvers_are_mailed_the_link_and_nothing_of_the_request(acme: Tenant, globex: Tenant, alice: User) -> None:
    with tenant_context(acme):
        rights = {"rights": ["approvals.decide", "jobs.bulk", "jobs.view"]}
        TENANT_ROLES.save(TenantRole(), {"name": "second", **rights})
    person("bob", acme)
    person("carl", acme, "second")
    person("vera", acme, Role.VIEWER)
    person("gone", acme, is_active=False)
    person("other", globex, Role.OWNER)
    made = ask(alice)
    assert mail.outbox == []
    assert recipients() == ["bob@example.com", "carl@example.com"]
    text = mail.outbox[0].body
    assert reverse("admin:tenants_approvalrequest_change", args=[made.pk]) in text
    assert "user:alice" in text
    for hidden in (SECRET, "hidden words", "kind:noop"):
        assert hidden not in text
        assert hidden not in mail.outbox[0].subject


def test_repeated_call_mails_nobody_again(acme: Tenant, alice: User) -> None:
    person("bob", acme)
    ask(alice)
    session_of(alice).post(BULK, CANCEL, format="json")
    assert recipients() == ["bob@example.com"]


def test_staff_are_mailed_if_no_other_member_may_decide(acme: Tenant, alice: User) -> None:
    admin = User.objects.create_user("root", email="root@example.com")
    grant_platform_role(user=admin, role="admin")
    auditor = User.objects.create_user("ann", email="ann@example.com")
    grant_platform_role(user=auditor, role="auditor")
    ask(alice)
    assert recipients() == ["root@example.com"]


def test_number_of_mails_is_bounded(acme: Tenant, alice: User) -> None:
    names = [f"dev-{number}" for number in range(MOST_APPROVERS + 5)]
    users = User.objects.bulk_create([User(username=name, email=f"{name}@example.com") for name in names])
    with tenant_context(acme):
        rows = [Membership(tenant=acme, user=user, role=Role.DEVELOPER) for user in users]
        Membership.objects.bulk_create(rows)
    ask(alice)
    with all_tenants():
        assert AlertMessage.objects.count() == MOST_APPROVERS


@pytest.mark.parametrize(("step", "subject"), [("approve", "Approved"), ("reject", "Rejected")])
def test_requester_is_mailed_the_decision(acme: Tenant, alice: User, step: str, subject: str) -> None:
    bob = person("bob", acme)
    made = ask(alice)
    recipients()
    mail.outbox.clear()
    answer = session_of(bob).post(f"{REQUESTS}{made.pk}/{step}/", {"reason": "hidden words"}, format="json")
    assert answer.status_code == 200
    assert recipients() == ["alice@example.com"]
    assert mail.outbox[0].subject == f"{subject}: Bulk operation on jobs"
    assert "user:bob" in mail.outbox[0].body
    assert "hidden words" not in mail.outbox[0].body


def test_requester_is_mailed_once_that_the_request_expired(acme: Tenant, alice: User) -> None:
    made = ask(alice)
    with all_tenants():
        ApprovalRequest.objects.update(expires_at=Now() - timedelta(hours=1))
    for expired in (1, 0):
        run = run_upkeep(name="expired_approvals")
        assert (run.outcome, run.counts["approvals_expired"]) == (UpkeepRun.Outcome.OK, expired), run.error
    assert recipients() == ["alice@example.com"]
    assert "Expired" in mail.outbox[0].subject
    assert str(made.pk) in mail.outbox[0].body


@pytest.mark.parametrize("is_off_by", ["setting", "server"])
def test_nothing_is_stored_if_mails_are_off(acme: Tenant, alice: User, is_off_by: str) -> None:
    person("bob", acme)
    with (
        override_platform_settings(APPROVAL_MAILS=is_off_by == "server"),
        override_settings(EMAIL_HOST="" if is_off_by == "server" else "mail.example.com"),
    ):
        ask(alice)
    with all_tenants():
        assert not AlertMessage.objects.exists()


def test_failing_outbox_does_not_fail_the_request(
    acme: Tenant, alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("no outbox today")

    person("bob", acme)
    monkeypatch.setattr(mails, "send_notice", fail)
    assert ask(alice).status == "pending"
    assert "approval.not_mailed" in caplog.text


def test_smtp_server_receives_the_mail_and_its_refusal_is_stored(acme: Tenant, alice: User) -> None:
    bob = person("bob", acme)
    with smtp_server() as mailbox:
        backend = "django.core.mail.backends.smtp.EmailBackend"
        server = {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": mailbox.port, "EMAIL_USE_TLS": False}
        with override_settings(EMAIL_BACKEND=backend, **server):
            made = ask(alice)
            recipients()
            (envelope, message) = mailbox.mails[0]
            mailbox.refusal = "550 no"
            session_of(bob).post(f"{REQUESTS}{made.pk}/reject/", {"reason": "no"}, format="json")
            recipients()
    assert envelope == ["bob@example.com"]
    assert str(made.pk) in str(message)
    with all_tenants():
        refused = AlertMessage.objects.get(body__addresses=["alice@example.com"])
    assert "550" in refused.error
