"""Backtests: rules replayed over stored minutes, within the rows that the caller may read."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduling.alerts.backtest import BacktestVerdict, backtest
from scheduling.alerts.exceptions import AlertRuleDoubtfulError
from scheduling.alerts.rule_config import RULES, preview_rule
from scheduling.models import AlertRule, MeasureMinute
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.exceptions import FieldInvalidError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.alerts.helpers import make_rule

pytestmark = pytest.mark.django_db
VALUES = {"name": "mine", "measure": "oldest_wait", "per": "queue", "comparison": "gt", "threshold": 100}


def plant(
    *values: tuple[int, float], key: str = "queue:pipeline", tenant: Tenant | None = None, days: int = 20
) -> datetime:
    """Store values by their minute of the history, which began so many days ago; return its beginning."""
    with all_tenants():
        began = read_clock().replace(second=0, microsecond=0) - timedelta(days=days)
        rows = [MeasureMinute(measure="", minute=began, object_key="", worst=1, last=1)] if tenant is None else []
        rows += [
            MeasureMinute(
                tenant=tenant,
                measure="oldest_wait",
                minute=began + timedelta(minutes=minute),
                object_key=key,
                label=key.partition(":")[2],
                worst=value,
                last=value,
            )
            for minute, value in values
        ]
        MeasureMinute.objects.bulk_create(rows)
    return began


def replay(**changes: Any) -> Any:
    rule = make_rule(**{"clear_seconds": 60, **changes})
    with all_tenants():
        return backtest(rule)


def test_spans_are_the_minutes_for_which_the_rule_would_have_fired() -> None:
    began = plant((10, 101), (11, 150), (12, 90), (100, 200), (101, 0))
    found = replay()
    minutes = [(span.began_at - began, span.ended_at - began, span.peak) for span in reversed(found.spans)]
    assert minutes == [
        (timedelta(minutes=10), timedelta(minutes=12), 150),
        (timedelta(minutes=100), timedelta(minutes=101), 200),
    ]
    assert (found.count, found.since, found.verdict) == (2, began, BacktestVerdict.OK)
    assert found.sentence.startswith("Would have fired 2 times since ")


def test_missing_minutes_are_clear_and_time_must_be_held() -> None:
    plant((10, 101), (12, 101), (20, 101), (21, 101), (22, 101))
    assert replay(for_seconds=120).count == 1


def test_rule_without_a_fire_in_two_weeks_would_never_fire() -> None:
    plant((10, 50))
    assert replay().verdict == BacktestVerdict.NEVER


def test_rule_that_fires_all_the_time_gets_a_warning() -> None:
    plant(*((minute, 101.0) for minute in range(2 * 1_440)), days=2)
    found = replay()
    assert found.verdict == BacktestVerdict.ALWAYS
    assert found.count == 1


def test_without_history_there_is_no_verdict() -> None:
    found = replay()
    assert (found.since, found.verdict) == (None, BacktestVerdict.UNKNOWN)
    assert found.sentence == "No history of this measure yet."


def test_backtest_of_tenant_reads_its_own_history_only(acme: Tenant, globex: Tenant) -> None:
    plant()
    plant((10, 101), key=f"tenant:{acme.pk}", tenant=acme)
    plant((10, 101), (50, 101), key=f"tenant:{globex.pk}", tenant=globex)
    with tenant_context(acme):
        found = preview_rule({**VALUES, "per": "tenant"})
    assert found.count == 1
    assert found.spans[0].label == str(acme.pk)


def test_rule_of_no_use_is_refused_with_its_fields() -> None:
    with all_tenants(), pytest.raises(FieldInvalidError) as refused:
        RULES.save(AlertRule(), {**VALUES, "measure": "failure_rate", "threshold": 2, "zone": "Nowhere"})
    assert {fault["field"] for fault in refused.value.errors} == {"threshold", "zone"}
    with all_tenants():
        assert not AlertRule.objects.filter(name="mine").exists()


def test_rule_that_would_never_fire_is_saved_only_if_confirmed() -> None:
    plant((10, 50))
    with all_tenants():
        with pytest.raises(AlertRuleDoubtfulError, match="would never have fired"):
            RULES.save(AlertRule(), VALUES)
        assert not AlertRule.objects.filter(name="mine").exists()
        rule = RULES.save(AlertRule(), {**VALUES, "confirm": True})
        assert rule.backtest is not None
        assert rule.backtest["verdict"] == "never"
        entry = AuditLogEntry.objects.get(action="alert_rule.created")
    assert (entry.target_id, entry.after["threshold"]) == (str(rule.pk), 100)


def test_rule_that_healthy_values_would_fire_is_refused() -> None:
    with all_tenants(), pytest.raises(FieldInvalidError, match="always fire"):
        RULES.save(AlertRule(), {**VALUES, "threshold": 0})


def test_tenant_has_rules_over_its_own_objects_only(acme: Tenant) -> None:
    with tenant_context(acme):
        with pytest.raises(FieldInvalidError, match="per"):
            RULES.save(AlertRule(), VALUES)
        assert RULES.save(AlertRule(), {**VALUES, "per": "tenant"}).tenant_id == acme.pk
        assert [rule.name for rule in AlertRule.objects.all()] == ["mine"]


def test_rule_that_would_always_fire_is_saved_only_if_confirmed() -> None:
    plant(*((minute, 101.0) for minute in range(2 * 1_440)), days=2)
    with all_tenants():
        with pytest.raises(AlertRuleDoubtfulError, match="almost all the time"):
            RULES.save(AlertRule(), VALUES)
        found = preview_rule(VALUES)
        assert (found.verdict, bool(found.warning)) == (BacktestVerdict.ALWAYS, True)
        rule = RULES.save(AlertRule(), {**VALUES, "confirm": True})
        with pytest.raises(AlertRuleDoubtfulError):
            RULES.save(rule, {"threshold": 99})
        assert RULES.save(rule, {"severity": "info"}).severity == "info"


def test_shipped_rules_are_enabled_and_of_use() -> None:
    with all_tenants():
        rules = list(AlertRule.objects.all())
        assert sum(rule.is_enabled for rule in rules) >= 12
        for rule in rules:
            RULES.save(rule, {"for_seconds": rule.for_seconds, "severity": rule.severity})
