"""The broker is killed and then the dispatcher that noticed: mail and webhook are each notified once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from scheduling.alerts.contact_models import Channel
from scheduling.models import Alert, AlertClock, AlertMessage, AlertRoute, Contact, ContactGroup
from tenants.context import all_tenants
from tenants.secrets.signing import new_secret, seal
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.own_broker import OwnBroker
from tests.acceptance.processes import eventually
from tests.smtp_server import Mailbox, smtp_server
from tests.web_server import Seen, WebServer, web_server

MEASURE = "broker_away"
ADDRESS = "ops@example.org"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with smtp_server() as running:
        yield running


@pytest.fixture
def hook() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


@pytest.fixture
def contacts(db: None, hook: WebServer) -> Iterator[list[Contact]]:
    """Route alerts about the broker to a mail address and a webhook; remove the route after the test."""
    with all_tenants():
        group = ContactGroup.objects.create(name="of this test")
        made = [
            Contact.objects.create(group=group, channel=Channel.MAIL, label="mail", sealed_target=seal(ADDRESS)),
            Contact.objects.create(
                group=group,
                channel=Channel.WEBHOOK,
                label="hook",
                sealed_target=seal(f"{hook.url}/alerts"),
                sealed_secret=seal(new_secret()),
            ),
        ]
        AlertRoute.objects.create(position=0, measure=MEASURE, group=group)
    yield made
    with all_tenants():
        AlertMessage.objects.filter(contact__in=made).delete()
        AlertRoute.objects.filter(group=group).delete()
        group.delete()


def test_alert_outlives_the_dispatcher_that_noticed_and_is_sent_once(
    platform: Platform, contacts: list[Contact], mailbox: Mailbox, hook: WebServer, tmp_path: Path
) -> None:
    for process in (platform.worker, platform.dispatcher):
        assert process is not None
        process.stop()
    platform.worker = platform.dispatcher = None
    broker = OwnBroker(tmp_path)
    variables = {
        "REDIS_URL": broker.url,
        "CACHE_URL": broker.url,
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": str(mailbox.port),
        "EMAIL_USE_TLS": "false",
        "OUTGOING_HTTP_ALLOWED_HOSTS": f"127.0.0.1:{hook.port}",
        "PUBLIC_URL": "https://jobs.example.org",
    }
    began = timezone.now()
    dispatcher = platform.start_dispatcher(**variables)
    eventually(lambda: evaluated_since(began) and not open_alerts(), within=START_SECONDS, what="no alert is open")
    broker.kill()
    (alert,) = eventually(lambda: open_alerts(state=Alert.State.FIRING), within=START_SECONDS, what="the alert fires")
    dispatcher.kill()
    assert (mails_in(mailbox), hook.seen) == ([], [])

    platform.start_dispatcher(**variables)
    eventually(lambda: len(sent_to(contacts, "fired")) == 2, within=START_SECONDS, what="both messages are sent")
    (post,) = posts(hook, "fired")
    assert [each["id"] for each in json.loads(post.body)["data"]["alerts"]] == [str(alert.pk)]
    assert {"webhook-id", "webhook-signature"} <= {name.lower() for name in post.headers}
    (mail,) = mails_in(mailbox)
    assert alert.rule_name in str(mail["Subject"])
    assert f"https://jobs.example.org/admin/scheduling/alert/{alert.pk}/" in str(mail.get_payload())

    broker.start()
    eventually(lambda: len(sent_to(contacts, "resolved")) == 2, within=START_SECONDS, what="its end is sent")
    assert (len(posts(hook, "fired")), len(posts(hook, "resolved")), len(mails_in(mailbox))) == (1, 1, 2)
    broker.kill()


def evaluated_since(began: datetime) -> bool:
    with all_tenants():
        return AlertClock.objects.filter(evaluated_at__gt=began).exists()


def open_alerts(**conditions: Any) -> list[Alert]:
    with all_tenants():
        found = Alert.objects.filter(rule__measure=MEASURE, **conditions)
        return list(found.exclude(state=Alert.State.RESOLVED))


def sent_to(contacts: list[Contact], what: str) -> list[AlertMessage]:
    with all_tenants():
        found = AlertMessage.objects.filter(contact__in=contacts, state=AlertMessage.State.SENT)
        return [message for message in found if what in states_in(message.body)]


def mails_in(mailbox: Mailbox) -> list[Message]:
    """Return the mails to the contact of this test; others may go to the platform's admins."""
    return [mail for recipients, mail in list(mailbox.mails) if recipients == [ADDRESS]]


def posts(hook: WebServer, what: str) -> list[Seen]:
    """Return the requests about alerts that fire or were resolved."""
    return [seen for seen in hook.seen if what in states_in(json.loads(seen.body)["data"])]


def states_in(body: dict[str, Any]) -> set[str]:
    return {"fired" if alert["state"] == "firing" else alert["state"] for alert in body["alerts"]}
