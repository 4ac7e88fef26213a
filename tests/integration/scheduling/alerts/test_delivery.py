"""Delivery of messages: by jobs, or by the dispatchers where no job can start; never by two at once, and retried."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.utils import timezone
from prometheus_client import REGISTRY

from scheduling.alerts import delivery
from scheduling.alerts.contact_models import Channel
from scheduling.alerts.contacts import MAX_FAILURES
from scheduling.alerts.delivery import MAX_ATTEMPTS, Result, claim, settle, transmit
from scheduling.alerts.messages import NoticeBatch, enqueue, send_notice
from scheduling.alerts.sender import beat, send_overdue
from scheduling.dispatch.tick import run_tick
from scheduling.fleet.workers import register_worker
from scheduling.models import (
    Alert,
    AlertClock,
    AlertMessage,
    AlertNotice,
    AlertRule,
    Contact,
    ContactGroup,
    Job,
    LiveExecution,
    Worker,
    WorkerPool,
)
from scheduling.worker.local_worker import LocalWorker
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Role, Tenant
from tenants.secrets.signing import new_secret, seal
from tests.integration.scheduling.job_helpers import reload, use_one_pool
from tests.integration.scheduling.worker.conftest import run_in_slots
from tests.platform_settings import ChangePlatformSettings
from tests.smtp_server import Mailbox, smtp_server
from tests.web_server import WebServer, web_server

pytestmark = pytest.mark.usefixtures("transactional_db")

SECRET = new_secret()
Message = AlertMessage
State = AlertMessage.State


@pytest.fixture
def server(change_platform_settings: ChangePlatformSettings) -> Iterator[WebServer]:
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        yield running


@pytest.fixture
def mailbox(settings: LazySettings) -> Iterator[Mailbox]:
    with smtp_server() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", running.port, False
        yield running


def contact(target: str, channel: str = Channel.WEBHOOK, tenant: Tenant | None = None, **changes: Any) -> Contact:
    """Return a new contact of the group `ops`."""
    with all_tenants():
        group, _ = ContactGroup.objects.get_or_create(tenant=tenant, name="ops")
        number = Contact.objects.filter(group=group).count()
        secret = seal(SECRET) if channel == Channel.WEBHOOK else ""
        values = {"label": f"contact {number}", "sealed_target": seal(target), "sealed_secret": secret, **changes}
        return Contact.objects.create(tenant=tenant, group=group, channel=channel, **values)


def queue(*contacts: Contact, **changes: Any) -> list[Message]:
    """Return the messages of a notice to contacts."""
    return send_notice(tenant_id=None, subject="Broken", text="It is broken.", contacts=contacts, **changes)


def age(message: Message, seconds: int) -> None:
    """Let a message be due, and claimed, that much earlier."""
    with all_tenants():
        earlier = Now() - timedelta(seconds=seconds)
        Message.objects.filter(pk=message.pk).update(due_at=earlier)
        Message.objects.filter(pk=message.pk).exclude(claimed_at=None).update(claimed_at=earlier)


def current[RowT: (AlertMessage, Contact)](row: RowT) -> RowT:
    with all_tenants():
        return type(row).objects.get(pk=row.pk)


def run_job(message: Message) -> Job:
    """Dispatch and execute the job of a message."""
    use_one_pool()
    local = LocalWorker.of(register_worker(pool_name="default", hostname="test", pid=1, slots=1))
    with all_tenants():
        job = Job.objects.get(pk=message.job_id)
        Worker.objects.filter(pk=local.registration.worker_id).update(heartbeat_at=Now())
    run_tick(WorkerPool.objects.get(name="default").pk)
    with all_tenants():
        live = LiveExecution.objects.get(job_id=job.pk)
    asyncio.run(run_in_slots(local, [(live.pk, live.token)]))
    return reload(job)


def test_job_delivers_a_signed_webhook(server: WebServer) -> None:
    use_one_pool()
    (message,) = queue(contact(f"{server.url}/hook"))
    job = run_job(message)
    assert (job.state, job.result) == ("completed", {"status": 200})
    with all_tenants():
        assert job.tenant.slug == "platform-alerts"
    (seen,) = server.seen
    signed = b".".join([str(message.pk).encode(), seen.headers["Webhook-Timestamp"].encode(), seen.body])
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert seen.headers["Webhook-Signature"] == f"v1,{signature}"
    assert json.loads(seen.body)["data"]["text"] == "It is broken."
    sent = current(message)
    assert (sent.state, sent.status, sent.attempt) == (State.SENT, 200, 1)


def test_dispatcher_delivers_what_no_job_has_claimed_and_the_job_then_skips_it(server: WebServer) -> None:
    use_one_pool()
    (message,) = queue(contact(f"{server.url}/hook"))
    assert (send_overdue(), len(server.seen)) == (0, 0)
    age(message, 9)
    assert (send_overdue(), len(server.seen)) == (1, 1)
    assert run_job(message).result == {"skipped": True}
    assert (current(message).state, len(server.seen)) == (State.SENT, 1)


def test_dispatcher_does_not_wait_for_jobs_while_they_cannot_start(server: WebServer) -> None:
    with all_tenants():
        rule = AlertRule.objects.get(origin="broker_away")
        now = timezone.now()
        Alert.objects.create(
            rule=rule,
            rule_name=rule.name,
            severity=rule.severity,
            object_key="pool:io",
            state=Alert.State.PENDING,
            value=1,
            peak=1,
            threshold=1,
            pending_at=now,
            changed_at=now,
            evaluated_at=now,
        )
    queue(contact(f"{server.url}/hook"))
    assert (send_overdue(), len(server.seen)) == (1, 1)


def test_message_has_one_claim_and_a_killed_process_loses_nothing(server: WebServer) -> None:
    (message,) = queue(contact(f"{server.url}/hook"))
    killed = claim(message.pk)
    assert killed is not None
    # The process ends here, before it sends.
    assert claim(message.pk) is None
    age(message, 60)
    assert (send_overdue(), len(server.seen)) == (0, 0)
    age(message, delivery.CLAIM_SECONDS + 1)
    assert (send_overdue(), len(server.seen)) == (1, 1)
    assert settle(killed, Result("too late")) is None
    assert (current(message).state, current(message).error) == (State.SENT, "")


def test_process_stopped_since_its_claim_does_not_send(server: WebServer) -> None:
    (message,) = queue(contact(f"{server.url}/hook"))
    stopped = claim(message.pk)
    assert stopped is not None
    object.__setattr__(stopped, "claimed_at", stopped.claimed_at - delivery.USABLE_CLAIM_SECONDS - 1)
    assert "stopped" in transmit(stopped).error
    assert server.seen == []


def count_failed() -> float:
    labels = {"channel": "webhook", "result": "failed"}
    return REGISTRY.get_sample_value("jobsplatform_alert_messages_total", labels) or 0.0


@pytest.mark.parametrize(("status", "state"), [(404, State.FAILED), (429, State.QUEUED), (503, State.QUEUED)])
def test_refusal_is_final_unless_it_may_heal(server: WebServer, status: int, state: str) -> None:
    server.answers["/hook"] = (status, {}, b"")
    (message,) = queue(contact(f"{server.url}/hook"))
    sending = claim(message.pk)
    assert sending is not None
    before = count_failed()
    settle(sending, transmit(sending))
    tried = current(message)
    assert (tried.state, tried.status, count_failed() - before) == (state, status, state == State.FAILED)
    assert f"answered with the status {status}" in tried.error
    assert "/hook" not in tried.error


def test_address_inside_the_network_is_refused() -> None:
    (message,) = queue(contact("http://127.0.0.1:8080/hook"))
    sending = claim(message.pk)
    assert sending is not None
    settle(sending, transmit(sending))
    assert current(message).state == State.FAILED
    assert "not allowed" in current(message).error


def test_failed_attempt_is_repeated_with_the_same_bytes_after_a_delay(server: WebServer) -> None:
    server.answers["/hook"] = (503, {}, b"")
    (message,) = queue(contact(f"{server.url}/hook"))
    for attempt in range(1, MAX_ATTEMPTS + 1):
        age(message, 9)
        assert send_overdue() == 1
        assert current(message).attempt == attempt
        assert send_overdue() == 0
    assert (current(message).state, len(server.seen)) == (State.FAILED, MAX_ATTEMPTS)
    assert len({seen.body for seen in server.seen}) == 1
    assert {seen.headers["Webhook-Id"] for seen in server.seen} == {str(message.pk)}


def fail(one: Contact) -> None:
    (message,) = queue(one)
    sending = claim(message.pk)
    assert sending is not None
    settle(sending, transmit(sending))


def test_contact_that_fails_ten_times_is_disabled_and_its_group_is_notified(server: WebServer) -> None:
    server.answers["/gone"] = (410, {}, b"")
    broken, other = contact(f"{server.url}/gone"), contact(f"{server.url}/hook")
    for _ in range(MAX_FAILURES - 1):
        fail(broken)
    assert current(broken).is_enabled
    fail(broken)
    disabled = current(broken)
    assert (disabled.is_enabled, disabled.failures) == (False, MAX_FAILURES)
    assert "410" in disabled.disabled_reason
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="contact.disabled")
        notice = Message.objects.get(contact=other)
    assert (entry.target_id, entry.actor_kind) == (str(broken.pk), "system")
    age(notice, 9)
    send_overdue()
    assert "is disabled" in json.loads(server.seen[-1].body)["data"]["text"]


def test_owner_is_mailed_of_a_disabled_contact_without_another_in_its_group(
    server: WebServer, mailbox: Mailbox, acme: Tenant, acme_user: User
) -> None:
    User.objects.filter(pk=acme_user.pk).update(email="alice@example.com")
    server.answers["/gone"] = (410, {}, b"")
    broken = contact(f"{server.url}/gone", tenant=acme)
    for _ in range(MAX_FAILURES):
        fail(broken)
    assert not current(broken).is_enabled
    with all_tenants():
        notice = Message.objects.get(contact=None)
    assert notice.tenant_id == acme.pk
    age(notice, 9)
    send_overdue()
    ((recipients, mail),) = mailbox.mails
    assert recipients == ["alice@example.com"]
    assert mail["Subject"] == f"Contact {broken.label} is disabled"


def test_success_resets_the_count(server: WebServer) -> None:
    one = contact(f"{server.url}/hook", failures=MAX_FAILURES - 1)
    (message,) = queue(one)
    age(message, 9)
    send_overdue()
    assert (current(one).failures, current(one).is_enabled) == (0, True)


def test_waiting_notices_of_a_disabled_contact_go_to_the_default_group(server: WebServer) -> None:
    server.answers["/gone"] = (410, {}, b"")
    broken = contact(f"{server.url}/gone", failures=MAX_FAILURES - 1)
    with all_tenants():
        now = timezone.now()
        alert = Alert.objects.create(
            rule_name="x",
            severity="warning",
            object_key="pool:io",
            state=Alert.State.FIRING,
            value=1,
            peak=1,
            threshold=1,
            pending_at=now,
            changed_at=now,
            evaluated_at=now,
        )
        AlertNotice.objects.create(alert=alert, revision=1, contact=broken, what="fired", due_at=now)
    fail(broken)
    with all_tenants():
        rows = AlertNotice.objects.order_by("contact__channel").values_list("contact__channel", "dropped")
        assert list(rows) == [("role", ""), ("webhook", "disabled")]


def test_mail_reaches_a_real_server_once_for_all_addresses(mailbox: Mailbox) -> None:
    (message,) = queue(contact("ops@example.com, duty@example.com", Channel.MAIL))
    age(message, 9)
    assert send_overdue() == 1
    ((recipients, mail),) = mailbox.mails
    assert recipients == ["ops@example.com", "duty@example.com"]
    assert (mail["Subject"], mail["Auto-Submitted"]) == ("Broken", "auto-generated")
    assert str(message.pk) in mail["Message-ID"]
    assert current(message).state == State.SENT


def test_refusal_of_the_mail_server_is_shown_and_retried(mailbox: Mailbox) -> None:
    mailbox.refusal = "450 mailbox is busy"
    (message,) = queue(contact("ops@example.com", Channel.MAIL))
    age(message, 9)
    send_overdue()
    assert current(message).state == State.QUEUED
    assert "mailbox is busy" in current(message).error
    mailbox.refusal = ""
    age(message, 9)
    send_overdue()
    assert (current(message).state, len(mailbox.mails)) == (State.SENT, 1)


def test_role_is_mailed_blindly_to_its_present_holders(mailbox: Mailbox, acme: Tenant, acme_user: User) -> None:
    User.objects.filter(pk=acme_user.pk).update(email="alice@example.com")
    viewer = User.objects.create_user("viewer", email="viewer@example.com")
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    (message,) = queue(contact("", Channel.ROLE, acme, roles=["owner"], sealed_target=""))
    age(message, 9)
    send_overdue()
    ((recipients, mail),) = mailbox.mails
    assert recipients == ["alice@example.com"]
    assert mail["To"] is None


def test_tenants_mail_reaches_its_members_only(mailbox: Mailbox, acme: Tenant, acme_user: User) -> None:
    User.objects.filter(pk=acme_user.pk).update(email="alice@example.com")
    (message,) = queue(contact("Alice@example.com, stranger@example.com", Channel.MAIL, acme))
    age(message, 9)
    send_overdue()
    assert mailbox.mails[0][0] == ["Alice@example.com"]


def test_without_a_mail_server_a_message_fails_at_once_and_no_contact_is_blamed() -> None:
    one = contact("ops@example.com", Channel.MAIL)
    (message,) = queue(one)
    assert (message.state, message.job_id) == (State.FAILED, None)
    assert "EMAIL_HOST" in current(message).error
    assert current(one).failures == 0


def test_message_of_alerts_has_their_facts_and_takes_their_notices(server: WebServer) -> None:
    one = contact(f"{server.url}/hook")
    with all_tenants():
        rule = AlertRule.objects.get(origin="oldest_wait")
        now = timezone.now()
        alert = Alert.objects.create(
            rule=rule,
            rule_name=rule.name,
            severity="warning",
            object_key="queue:pipeline",
            object={"type": "queue", "id": "pipeline", "label": "pipeline"},
            state=Alert.State.FIRING,
            value=312,
            peak=400,
            threshold=300,
            pending_at=now,
            fired_at=now,
            changed_at=now,
            evaluated_at=now,
            tenants=["acme"],
            tenants_count=1,
            facts={"message": "connection reset"},
        )
        notice = AlertNotice.objects.create(alert=alert, revision=1, contact=one, what="fired", due_at=now)
        assert enqueue({one.pk: NoticeBatch([notice.pk], [alert])}, now) == 1
        message = Message.objects.get(contact=one)
        assert list(message.notices.all()) == [notice]
    age(message, 9)
    send_overdue()
    (fact,) = json.loads(server.seen[0].body)["data"]["alerts"]
    assert (fact["object"], fact["value"], fact["tenants"]) == ("pipeline", 312, ["acme"])
    assert fact["url"].endswith(f"/admin/scheduling/alert/{alert.pk}/change/")
    assert fact["cause"]["message"] == "connection reset"


def test_message_is_delivered_although_its_tenant_cannot_submit(
    server: WebServer, change_platform_settings: ChangePlatformSettings, acme: Tenant
) -> None:
    with all_tenants():
        Tenant.objects.filter(pk=acme.pk).update(status="suspended")
    change_platform_settings(ALERTS_TENANT="acme", OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{server.port}"])
    (message,) = queue(contact(f"{server.url}/hook"))
    assert message.job_id is None
    age(message, 9)
    assert (send_overdue(), len(server.seen)) == (1, 1)


def test_heartbeat_stops_if_nothing_is_evaluated_or_messages_are_stuck(
    server: WebServer, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(
        ALERT_HEARTBEAT_URL=f"{server.url}/ping", OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{server.port}"]
    )

    def clock(**changes: Any) -> None:
        with all_tenants():
            AlertClock.objects.update_or_create(pk=1, defaults={"beaten_at": None, **changes})

    clock(evaluated_at=timezone.now())
    assert (beat(), beat()) == (True, False)
    assert [seen.path for seen in server.seen] == ["/ping"]
    clock(evaluated_at=timezone.now() - timedelta(seconds=61))
    assert not beat()
    clock(evaluated_at=timezone.now())
    (message,) = queue(contact(f"{server.url}/hook"))
    age(message, 121)
    assert not beat()
    assert len(server.seen) == 1
