"""The alert about PostgreSQL itself: sent from memory by one dispatcher, and ended when PostgreSQL is back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from scheduling.alerts import outage
from scheduling.alerts.outage import OutageWatch
from scheduling.models import AlertClock, AlertMessage, Contact, ContactGroup
from tenants.context import all_tenants
from tenants.secrets.signing import new_secret, seal
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server

pytestmark = pytest.mark.usefixtures("transactional_db")


class Clock:
    """A clock that tests set forward."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(outage, "time", clock)
    return clock


@pytest.fixture
def server(change_platform_settings: ChangePlatformSettings) -> Iterator[WebServer]:
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        with all_tenants():
            group = ContactGroup.objects.get(tenant=None, is_default=True)
            Contact.objects.all().delete()
            target, secret = seal(f"{running.url}/hook"), seal(new_secret())
            Contact.objects.create(
                group=group, channel="webhook", label="x", sealed_target=target, sealed_secret=secret
            )
        yield running


def watch(clock: Clock, *, is_evaluator: bool = True) -> OutageWatch:
    """Return the watch of a process that evaluated the rules last, or of another one."""
    one = uuid4()
    with all_tenants():
        AlertClock.objects.update_or_create(pk=1, defaults={"evaluated_by": one if is_evaluator else uuid4()})
    made = OutageWatch(one)
    made.prepare()
    return made


def pass_time(clock: Clock, made: OutageWatch, seconds: float) -> int:
    """Let time pass in which only the duty without the database runs; return the messages sent."""
    sent = 0
    for _ in range(int(seconds / 2)):
        clock.now += 2
        sent += made.look()
    return sent


def test_one_alert_is_sent_after_fifteen_seconds_and_its_end_afterwards(server: WebServer, clock: Clock) -> None:
    made = watch(clock)
    assert pass_time(clock, made, 14) == 0
    assert pass_time(clock, made, 120) == 1
    (alert,) = json.loads(server.seen[0].body)["data"]["alerts"]
    assert (alert["state"], alert["severity"]) == ("firing", "critical")
    made.prepare()
    with all_tenants():
        sent, end = AlertMessage.objects.order_by("pk")
    assert (sent.state, end.state) == ("sent", "queued")
    assert end.body["alerts"][0]["id"] == alert["id"]
    assert end.body["alerts"][0]["state"] == "resolved"
    assert pass_time(clock, made, 14) == 0


def test_only_the_last_evaluator_sends(server: WebServer, clock: Clock) -> None:
    assert pass_time(clock, watch(clock, is_evaluator=False), 120) == 0


def test_stopped_process_does_not_blame_the_database(server: WebServer, clock: Clock) -> None:
    made = watch(clock)
    clock.now += 300
    assert made.look() == 0
    assert server.seen == []


def test_failed_message_is_tried_again(server: WebServer, clock: Clock) -> None:
    server.answers["/hook"] = (503, {}, b"")
    made = watch(clock)
    assert pass_time(clock, made, 20) == 0
    assert len(server.seen) == 1
    server.answers.clear()
    assert pass_time(clock, made, 40) == 1
    assert len({seen.headers["Webhook-Id"] for seen in server.seen}) == 1
