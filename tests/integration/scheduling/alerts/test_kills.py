"""A dispatcher that is killed at any point of an alert's way loses no alert, and no message reaches a contact twice.

A kill is an error that no handler catches, and the loss of the connection: PostgreSQL rolls back what was not
committed. The next dispatcher then does what is due. The contact is a webhook, which counts messages by their ids.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from scheduling.alerts import evaluation, sender
from scheduling.alerts import evaluator as evaluators
from scheduling.alerts.evaluator import Evaluator
from scheduling.alerts.sender import send_overdue
from scheduling.models import Alert, AlertClock, AlertMessage, AlertNotice, AlertRule
from tenants.context import all_tenants
from tenants.secrets.signing import new_secret, seal
from tests.integration.scheduling.alerts.helpers import Planted, make_contact, make_rule, wait
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server

pytestmark = pytest.mark.usefixtures("transactional_db")

BEFORE, AFTER = "before", "after"
MESSAGES_MADE = "messages and jobs made"
# A point of an alert's way: the function before or after whose call the dispatcher is killed.
POINTS: dict[str, tuple[ModuleType, str, str]] = {
    "measures read": (evaluators, "try_to_lead", BEFORE),
    "alerts and notices written": (evaluation, "write_minutes", BEFORE),
    "evaluated": (evaluators, "count_causes", BEFORE),
    "before messages": (evaluators, "flush", BEFORE),
    MESSAGES_MADE: (evaluators, "flush", AFTER),
    "message chosen": (sender, "claim", BEFORE),
    "claimed": (sender, "claim", AFTER),
    "sent": (sender, "settle", BEFORE),
    "settled": (sender, "settle", AFTER),
}
EARLIER = timedelta(minutes=2)


class Killed(BaseException):
    """The end of a process."""


@pytest.fixture
def server(change_platform_settings: ChangePlatformSettings) -> Iterator[WebServer]:
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        with all_tenants():
            AlertRule.objects.all().delete()
        target = seal(f"{running.url}/hook")
        make_contact(sealed_target=target, sealed_secret=seal(new_secret()))
        make_rule()
        yield running


def kill_at(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end at a point, once."""
    module, name, when = POINTS[point]
    original: Callable[..., Any] = getattr(module, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        done = original(*args, **kwargs) if when == AFTER else None
        if point == MESSAGES_MADE and not done:
            return done
        monkeypatch.setattr(module, name, original)
        raise Killed

    monkeypatch.setattr(module, name, call)


def pass_time() -> None:
    """Let two minutes pass: everything is due, and claims have expired."""
    with all_tenants():
        AlertClock.objects.exclude(evaluated_at=None).update(evaluated_at=Now() - timedelta(seconds=6))
        AlertNotice.objects.filter(message=None).update(due_at=Now() - EARLIER)
        AlertMessage.objects.update(created_at=Now() - EARLIER)
        AlertMessage.objects.filter(state="queued").update(due_at=Now() - EARLIER)
        AlertMessage.objects.filter(state="sending").update(claimed_at=Now() - EARLIER)


def dispatch() -> None:
    """Do what a dispatcher does from its start until nothing is left to do."""
    evaluator = Evaluator()
    for _ in range(3):
        pass_time()
        evaluator.take_turn()
        send_overdue()


def reported_states(server: WebServer) -> dict[str, str]:
    """Return what each message with an id of its own says."""
    bodies = [json.loads(seen.body) for seen in server.seen]
    return {body["id"]: body["data"]["alerts"][0]["state"] for body in bodies}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("transition", ["firing", "resolved"])
def test_killed_dispatcher_loses_no_alert_and_sends_none_twice(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, point: str, transition: str
) -> None:
    planted = Planted(monkeypatch)
    planted.samples = [wait(101)]
    if transition == "resolved":
        dispatch()
        planted.samples = []
    kill_at(point, monkeypatch)
    with pytest.raises(Killed):
        dispatch()
    connection.close()
    dispatch()
    planted.samples = []
    dispatch()
    assert list(reported_states(server).values()) == ["firing", "resolved"]
    # Only what was sent and not settled is sent again, with its id and the same bytes.
    again = int(point == "sent")
    assert len(server.seen) == 2 + again
    assert len({seen.body for seen in server.seen}) == 2
    with all_tenants():
        assert list(Alert.objects.values_list("state", flat=True)) == ["resolved"]
        assert Counter(AlertMessage.objects.values_list("state", flat=True)) == {"sent": 2}
        assert not AlertNotice.objects.filter(message=None).exists()


def test_dispatchers_that_send_at_once_send_a_message_once(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    Planted(monkeypatch).samples = [wait(101)]
    for _ in range(2):
        pass_time()
        Evaluator().take_turn()
    pass_time()
    together = threading.Barrier(4)

    def send() -> None:
        together.wait()
        try:
            send_overdue()
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.seen) == 1
