"""Evaluation of alert rules on PostgreSQL: states, duplicates, stale and failed readings, and whose alerts they are."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.db import IntegrityError, OperationalError, transaction
from django.db.models.functions import Now

from scheduling.alerts import evaluator as evaluators
from scheduling.alerts.evaluator import Evaluator
from scheduling.alerts.rules import Sample
from scheduling.models import Alert, AlertClock, AlertNotice, AlertRule, MeasureMinute, PlatformIncident
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.models import Tenant
from tests.integration.scheduling.alerts.helpers import (
    Planted,
    Turns,
    make_contact,
    make_rule,
    notices,
    only_alert,
    wait,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


def states() -> list[str]:
    with all_tenants():
        return list(Alert.objects.order_by("pk").values_list("state", flat=True))


def test_alert_pends_fires_and_resolves(turns: Turns) -> None:
    make_rule(for_seconds=10, clear_seconds=5)
    seen = []
    for value in (101, 150, 120, 90, 90):
        turns.take(wait(value))
        seen += states()
    assert seen == ["pending", "pending", "firing", "resolved", "resolved"]
    alert = only_alert()
    assert (alert.value, alert.peak, alert.object["label"]) == (90, 150, "pipeline")
    assert alert.object_key == "queue:pipeline"


def test_pending_alert_that_clears_leaves_no_row(turns: Turns) -> None:
    make_rule(for_seconds=60)
    turns.take(wait(101))
    turns.take()
    assert states() == []


def test_one_alert_for_a_rule_and_an_object_is_open(turns: Turns) -> None:
    rule = make_rule()
    turns.take(wait(101))
    turns.take(wait(101), seconds=0)
    alert = only_alert()
    with pytest.raises(IntegrityError, match="alert_open_of_object"), all_tenants():
        Alert.objects.create(
            rule=rule,
            rule_name="waits",
            severity="info",
            object_key=alert.object_key,
            state="pending",
            value=1,
            peak=1,
            threshold=1,
            pending_at=turns.now,
            changed_at=turns.now,
            evaluated_at=turns.now,
        )


def test_long_gap_between_evaluations_adds_at_most_two_intervals(turns: Turns) -> None:
    make_rule(for_seconds=60)
    turns.take(wait(101))
    turns.take(wait(101), seconds=3_600)
    assert only_alert().held_seconds == 10
    turns.take(wait(101), seconds=-7_200)
    assert only_alert().held_seconds == 10


def test_object_that_a_partial_reading_lacks_keeps_its_state(turns: Turns) -> None:
    make_rule()
    turns.take(wait(101))
    turns.take(is_partial=True)
    assert states() == ["firing"]


def test_alerts_of_a_deleted_and_of_a_disabled_rule_resolve(turns: Turns) -> None:
    deleted, disabled = make_rule(), make_rule(name="other")
    turns.take(wait(101))
    with all_tenants():
        deleted.delete()
        AlertRule.objects.filter(pk=disabled.pk).update(is_enabled=False)
    turns.take(wait(101))
    assert states() == ["resolved", "resolved"]


def test_alert_that_fires_again_within_ten_minutes_is_the_same(turns: Turns) -> None:
    make_rule()
    for value in (101, 0, 101):
        turns.take(wait(value))
    alert = only_alert()
    assert (alert.state, alert.resolved_at) == ("firing", None)
    turns.take(wait(0))
    turns.take(wait(101), seconds=700)
    assert states() == ["resolved", "firing"]


def test_objects_of_a_rule_are_limited_to_the_worst(turns: Turns) -> None:
    make_rule()
    turns.take(*(wait(101 + number, f"q{number}") for number in range(300)))
    with all_tenants():
        assert Alert.objects.count() == 200
        assert Alert.objects.order_by("value").values_list("value", flat=True)[0] == 201


def test_rule_of_a_tenant_sees_only_its_samples(turns: Turns, acme: Tenant, globex: Tenant) -> None:
    make_rule(tenant=acme, per="tenant")
    own, foreign = (Sample(f"tenant:{each.pk}", 500, each.slug, each.pk) for each in (acme, globex))
    turns.take(own, foreign)
    assert only_alert().tenant_id == acme.pk
    with tenant_context(acme):
        assert Alert.objects.count() == 1
        assert MeasureMinute.objects.count() == 1
    with tenant_context(globex):
        assert Alert.objects.count() == 0
        assert AlertRule.objects.count() == 0
        assert [row.tenant_id for row in MeasureMinute.objects.all()] == [globex.pk]


def test_rule_of_the_platform_may_notify_the_tenant_that_it_is_about(
    turns: Turns, acme: Tenant, globex: Tenant
) -> None:
    make_rule(measure="limit_used", per="tenant", threshold=79, notifies_tenant=True)
    ours, theirs = make_contact(), make_contact(acme)
    turns.take(Sample(f"tenant:{acme.pk}:jobs", 80, "acme: jobs", acme.pk), measure="limit_used")
    with tenant_context(acme):
        alert = Alert.objects.select_related("rule").get()
        assert (alert.rule, alert.label) == (None, "acme: jobs")
    with all_tenants():
        notified = dict(AlertNotice.objects.values_list("contact", "alert__tenant"))
    assert notified == {ours.pk: None, theirs.pk: acme.pk}


def test_minutes_keep_the_worst_and_the_last_value(turns: Turns) -> None:
    for value in (5.0, 9.0, 7.0):
        turns.take(wait(value))
    with all_tenants():
        row = MeasureMinute.objects.get(measure="oldest_wait")
        marker = MeasureMinute.objects.get(measure="")
    assert (row.worst, row.last, row.label, row.parents) == (9.0, 7.0, "pipeline", ["pool:default"])
    assert marker.minute == row.minute


def test_minutes_of_a_measure_whose_low_values_are_bad_keep_the_least(turns: Turns, acme: Tenant) -> None:
    for value in (0.5, 0.2, 0.7):
        turns.take(Sample(f"tenant:{acme.pk}", value, "acme", acme.pk), measure="share")
    with all_tenants():
        assert MeasureMinute.objects.get(measure="share").worst == 0.2


def make_due() -> None:
    """Let the last evaluation be six seconds ago."""
    with all_tenants():
        AlertClock.objects.update(evaluated_at=read_clock() - timedelta(seconds=6))


def test_second_dispatcher_does_not_evaluate_what_the_first_has(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    make_rule()
    planted = Planted(monkeypatch)
    planted.samples = [wait(101)]
    assert (Evaluator().take_turn(), Evaluator().take_turn()) == (1, 0)
    assert planted.reads == 1
    make_due()
    assert Evaluator().take_turn() == 0
    assert states() == ["firing"]


@pytest.mark.django_db(transaction=True)
def test_reading_from_before_another_evaluation_is_dropped(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    make_rule()
    planted = Planted(monkeypatch)
    planted.samples = [wait(101)]

    planted.before = lambda: AlertClock.objects.update(evaluated_at=Now())
    assert Evaluator().take_turn() == 0
    assert (planted.reads, states()) == (1, [])


def test_failed_measure_resolves_nothing_and_becomes_an_alert(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    make_rule()
    make_rule(name="checks", measure="check", per="check", comparison="ge", threshold=2)
    planted, evaluator = Planted(monkeypatch), Evaluator()
    planted.samples = [wait(101)]
    evaluator.take_turn()
    planted.error = OperationalError("canceling statement due to statement timeout")
    for _ in range(3):
        make_due()
        evaluator.take_turn()
    with all_tenants():
        assert dict(Alert.objects.values_list("object_key", "state")) == {
            "queue:pipeline": "firing",
            "check:measure.oldest_wait": "firing",
        }


def test_measure_of_heartbeats_is_not_read_after_an_outage(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    planted, evaluator = Planted(monkeypatch, needs_heartbeats=True), Evaluator()
    evaluator.take_turn()
    make_due()
    evaluator.take_turn()
    assert planted.reads == 0
    with all_tenants():
        AlertClock.objects.update(settling_until=read_clock() - timedelta(seconds=1))
    make_due()
    evaluator.take_turn()
    assert planted.reads == 1


def test_time_in_which_no_dispatcher_evaluated_is_an_incident(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    Planted(monkeypatch)
    evaluator = Evaluator()
    # At the first start nothing was missed. Later turns are a minute late: of one that ran meanwhile, and of a new one.
    for dispatcher in (evaluator, evaluator, Evaluator()):
        dispatcher.take_turn()
        with all_tenants():
            AlertClock.objects.update(evaluated_at=read_clock() - timedelta(minutes=1))
    with all_tenants():
        assert list(PlatformIncident.objects.values_list("name", "detail", "count")) == [("unwatched", "60 s", 1)]


def test_step_of_the_clock_freezes_all_alerts(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    make_rule()
    planted, evaluator = Planted(monkeypatch), Evaluator()
    planted.samples = [wait(101)]
    evaluator.take_turn()
    ahead = time.monotonic() + 120
    monkeypatch.setattr(evaluators.time, "monotonic", lambda: ahead)
    planted.samples = []
    make_due()
    assert evaluator.take_turn() == 0
    assert states() == ["firing"]
    with all_tenants():
        assert AlertClock.objects.get().frozen_until is not None


def test_failure_after_the_evaluation_leaves_nothing_and_the_next_turn_does_all_once(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule()
    make_contact()
    planted, evaluator = Planted(monkeypatch), Evaluator()
    planted.samples = [wait(101)]

    def killed(now: object) -> int:
        raise OperationalError("terminating connection")

    with monkeypatch.context() as patch, transaction.atomic():
        patch.setattr(evaluators, "flush", killed)
        with pytest.raises(OperationalError):
            evaluator.take_turn()
    assert (states(), notices()) == ([], [])
    assert evaluator.take_turn() == 1
    assert (states(), notices()) == (["firing"], [("fired", "")])
