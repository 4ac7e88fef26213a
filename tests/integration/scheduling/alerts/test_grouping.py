"""Notices and messages: groups, silences, inhibition, escalation, ends, caps and digests, on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduling.alerts import acts
from scheduling.alerts.grouping import flush
from scheduling.alerts.rules import Sample
from scheduling.models import (
    Alert,
    AlertMessage,
    AlertNotice,
    AlertOwner,
    AlertRoute,
    AlertSilence,
    Contact,
    ContactGroup,
)
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.models import Tenant
from tests.integration.scheduling.alerts.helpers import Turns, make_contact, make_rule, notices, only_alert, wait

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


def messages() -> list[str]:
    with all_tenants():
        return list(AlertMessage.objects.order_by("pk").values_list("what", flat=True))


def test_alert_notifies_once_and_at_its_end(turns: Turns) -> None:
    make_rule()
    make_contact()
    for value in (101, 102, 103):
        turns.take(wait(value))
    assert turns.send() == 1
    assert turns.send() == 0
    turns.take(wait(0))
    turns.take(wait(0))
    assert turns.send() == 1
    assert notices() == [("fired", ""), ("resolved", "")]
    assert only_alert().revision == 2


def test_alerts_that_fire_together_are_one_message(turns: Turns) -> None:
    make_rule()
    make_contact()
    turns.take(*(wait(101, f"q{number}") for number in range(30)))
    assert turns.send() == 1
    with all_tenants():
        body = AlertMessage.objects.get().body
    assert (len(body["alerts"]), body["more"]) == (20, 10)


def test_message_waits_for_the_group_and_then_for_the_interval(turns: Turns) -> None:
    make_rule()
    make_contact()
    with all_tenants():
        turns.now = read_clock() - timedelta(seconds=5)
        turns.take(wait(101, "a"))
        assert flush(read_clock()) == 0
        AlertNotice.objects.update(due_at=read_clock())
        assert flush(read_clock()) == 1
        turns.take(wait(101, "a"), wait(101, "b"))
        AlertNotice.objects.update(due_at=read_clock())
        assert flush(read_clock()) == 0


def test_alert_that_clears_before_its_message_does_not_notify(turns: Turns) -> None:
    make_rule()
    make_contact()
    turns.take(wait(101))
    turns.take(wait(0))
    assert turns.send() == 0
    assert notices() == [("fired", "resolved")]


def test_alert_that_fires_again_waits_ten_minutes_with_its_message(turns: Turns) -> None:
    make_rule()
    make_contact()
    turns.take(wait(101))
    turns.send()
    turns.take(wait(0))
    turns.send()
    turns.take(wait(101))
    with all_tenants():
        first, _, again = AlertNotice.objects.order_by("pk")
    assert again.due_at - first.due_at == timedelta(minutes=10)


def test_inhibited_alert_is_shown_and_notifies_when_its_source_resolves(turns: Turns) -> None:
    make_rule(
        name="pool", measure="pool_without_worker", per="pool", comparison="ge", threshold=1, inhibits=["oldest_wait"]
    )
    make_rule()
    make_contact()
    pool = Sample("pool:default", 1.0, "default")
    turns.take(pool, measure="pool_without_worker")
    turns.take(wait(101))
    with all_tenants():
        source, waiting = Alert.objects.order_by("pk")
    assert (waiting.state, waiting.inhibited_by) == ("firing", source.pk)
    assert notices() == [("fired", "")]
    turns.send()
    turns.take(measure="pool_without_worker")
    turns.take(wait(101))
    with all_tenants():
        notified = set(AlertNotice.objects.values_list("alert", "what"))
    assert notified == {(source.pk, "fired"), (source.pk, "resolved"), (waiting.pk, "fired")}


def test_inhibited_alert_that_clears_with_its_source_notifies_only_if_it_returns(turns: Turns) -> None:
    values = {"measure": "pool_without_worker", "per": "pool", "comparison": "ge", "threshold": 1}
    make_rule(name="pool", inhibits=["oldest_wait"], **values)
    make_rule(clear_seconds=60)
    make_contact()
    turns.take(Sample("pool:default", 1.0, "default"), measure="pool_without_worker")
    turns.take(wait(101))
    turns.send()
    turns.take(wait(0))
    turns.take(measure="pool_without_worker")
    turns.take(wait(0))
    assert notices() == [("fired", ""), ("resolved", "")]
    turns.take(wait(101))
    assert notices() == [("fired", ""), ("resolved", ""), ("fired", "")]


def test_silence_keeps_an_alert_from_notifying_until_it_ends(turns: Turns) -> None:
    make_rule()
    make_contact()
    with all_tenants():
        silence = AlertSilence.objects.create(
            only_queue="pipeline",
            starts_at=turns.now - timedelta(minutes=1),
            ends_at=turns.now + timedelta(hours=1),
            reason="a move",
            created_by="user:ada",
        )
    turns.take(wait(101))
    assert only_alert().silence_id == silence.pk
    assert notices() == []
    turns.take(wait(101), seconds=3_700)
    assert only_alert().silence_id is None
    assert notices() == [("fired", "")]


def test_end_of_a_silence_does_not_tell_of_an_alert_twice(turns: Turns) -> None:
    make_rule()
    make_contact()
    turns.take(wait(101))
    turns.send()
    with all_tenants():
        acts.silence(alert_id=only_alert().pk, until=None, reason="known")
    turns.take(wait(101))
    assert only_alert().silence_id is not None
    turns.take(wait(101), seconds=3_700)
    assert only_alert().silence_id is None
    assert notices() == [("fired", "")]


def test_alert_that_is_explained_before_its_message_waits(turns: Turns) -> None:
    values = {"measure": "pool_without_worker", "per": "pool", "comparison": "ge", "threshold": 1}
    make_rule(name="pool", inhibits=["oldest_wait"], **values)
    make_rule()
    make_contact()
    turns.take(wait(101))
    turns.take(Sample("pool:default", 1.0, "default"), measure="pool_without_worker")
    assert notices() == [("fired", "suppressed"), ("fired", "")]
    turns.take(measure="pool_without_worker")
    turns.take(wait(101))
    assert notices() == [("fired", "suppressed"), ("fired", "resolved"), ("fired", "")]


def test_unacknowledged_alert_escalates_once(turns: Turns) -> None:
    make_contact()
    with all_tenants():
        group = ContactGroup.objects.create(name="bosses")
        boss = Contact.objects.create(group=group, channel="webhook", label="boss")
    make_rule(escalate_minutes=1, escalate_to=group)
    turns.take(wait(101))
    for _ in range(14):
        turns.take(wait(101))
    with all_tenants():
        notified = list(AlertNotice.objects.order_by("pk").values_list("what", flat=True))
        assert AlertNotice.objects.get(what="escalated").contact_id == boss.pk
    assert notified == ["fired", "escalated"]


def test_acknowledged_alert_does_not_escalate_and_its_end_notifies(turns: Turns) -> None:
    make_contact()
    with all_tenants():
        group = ContactGroup.objects.create(name="bosses")
        Contact.objects.create(group=group, channel="webhook", label="boss")
    make_rule(escalate_minutes=1, escalate_to=group)
    turns.take(wait(101))
    turns.send()
    with all_tenants():
        acts.acknowledge(alert_id=only_alert().pk, note="I look at it")
    for _ in range(20):
        turns.take(wait(101))
    turns.take(wait(0))
    assert notices() == [("fired", ""), ("resolved", "")]
    assert "I look at it" in only_alert().note


def test_owner_of_the_object_is_notified_before_routes_and_the_default(turns: Turns) -> None:
    make_rule()
    default = make_contact()
    with all_tenants():
        owners, others = (ContactGroup.objects.create(name=name) for name in ("owners", "others"))
        owner, other = (Contact.objects.create(group=group, channel="webhook", label="x") for group in (owners, others))
        AlertOwner.objects.create(target="queue", name="pipeline", group=owners)
        AlertRoute.objects.create(position=1, min_severity="critical", group=others)
    turns.take(wait(101), wait(101, "dataset"))
    with all_tenants():
        notified = dict(AlertNotice.objects.values_list("alert__object_key", "contact"))
    assert notified == {"queue:pipeline": owner.pk, "queue:dataset": default.pk}
    assert other.pk not in notified.values()


def test_contact_at_its_cap_gets_one_digest_in_the_next_hour(turns: Turns) -> None:
    make_rule()
    contact = make_contact(per_hour=1)
    with all_tenants():
        hour = read_clock().replace(minute=0, second=0, microsecond=0)
        AlertMessage.objects.create(contact=contact, what="alerts", body={}, state="sent")
    turns.take(wait(101))
    with all_tenants():
        AlertNotice.objects.update(due_at=hour)
        assert flush(read_clock()) == 0
        AlertNotice.objects.update(due_at=hour - timedelta(seconds=1))
        assert flush(read_clock()) == 1
        assert flush(read_clock()) == 0
    assert messages() == ["alerts", "digest"]


def test_storm_of_one_cause_is_one_group_and_two_messages(turns: Turns, acme: Tenant) -> None:
    make_rule(name="rate", measure="failure_rate", threshold=0.2, inhibits=["new_cause"], for_seconds=5)
    make_rule(name="cause", measure="new_cause", per="cause", comparison="ge", threshold=3)
    make_contact()
    cause = Sample("cause:abc", 10_000, "boom", parents=("kind:noop", "queue:pipeline"))
    rate = Sample("queue:pipeline", 1.0, "pipeline")
    for _ in range(10):
        turns.take(rate, measure="failure_rate")
        turns.take(cause, measure="new_cause")
        turns.send()
    turns.take(measure="new_cause")
    turns.take(measure="failure_rate")
    turns.send()
    assert notices() == [("fired", ""), ("resolved", "")]
    assert len(messages()) == 2
