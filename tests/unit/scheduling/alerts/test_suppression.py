"""Silences and inhibitions without a database."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from scheduling.alerts.suppression import Subject, Verdict, judge
from scheduling.models import AlertSilence

ACME, GLOBEX = UUID(int=1), UUID(int=2)
WAIT = Subject(UUID(int=10), None, UUID(int=20), "oldest_wait", "queue:pipeline", ("pool:default",))
POOL = Subject(UUID(int=11), None, UUID(int=21), "pool_without_worker", "pool:default", inhibits=["oldest_wait"])
BROKER = Subject(UUID(int=12), None, UUID(int=22), "broker_away", "check:broker", inhibits=["oldest_wait", "share"])
SILENCE = AlertSilence(pk=UUID(int=30))


def test_alert_without_reason_is_sent() -> None:
    assert judge(WAIT, [], []).is_sent


def test_pool_without_worker_explains_waits_of_its_queues_only() -> None:
    assert judge(WAIT, [POOL], []) == Verdict(inhibited_by=POOL.id)
    assert judge(replace(WAIT, parents=("pool:other",)), [POOL], []).is_sent
    assert judge(replace(WAIT, measure="failure_rate"), [POOL], []).is_sent


def test_fault_of_the_platform_explains_every_object_also_of_tenants() -> None:
    assert judge(WAIT, [BROKER], []).inhibited_by == BROKER.id
    assert judge(replace(WAIT, tenant_id=ACME, object_key=f"tenant:{ACME}", parents=()), [BROKER], []).inhibited_by


def test_fault_of_the_platform_explains_only_those_other_checks_that_depend_on_it() -> None:
    broker = replace(BROKER, inhibits=["check"])
    check = Subject(UUID(int=13), None, UUID(int=23), "check", "check:starts", ("check:broker",))
    assert judge(check, [broker], []).inhibited_by == broker.id
    assert judge(replace(check, object_key="check:writes", parents=()), [broker], []).is_sent


def test_alert_of_a_tenant_explains_none_of_another_or_of_the_platform() -> None:
    source = replace(POOL, tenant_id=ACME)
    assert judge(WAIT, [source], []).is_sent
    assert judge(replace(WAIT, tenant_id=GLOBEX), [source], []).is_sent
    assert judge(replace(WAIT, tenant_id=ACME), [source], []).inhibited_by == source.id


def test_alert_does_not_inhibit_itself() -> None:
    own = replace(WAIT, inhibits=["oldest_wait"])
    assert judge(own, [own], []).is_sent


def test_silence_comes_before_inhibition() -> None:
    assert judge(WAIT, [POOL], [SILENCE]) == Verdict(silenced_by=SILENCE.id)


@pytest.mark.parametrize(
    ("conditions", "is_silenced"),
    [
        ({}, True),
        ({"rule_id": WAIT.rule_id}, True),
        ({"rule_id": POOL.rule_id}, False),
        ({"object_key": "queue:pipeline"}, True),
        ({"object_key": "queue:other"}, False),
        ({"only_queue": "pipeline"}, True),
        ({"only_queue": "other"}, False),
        ({"only_kind": "noop"}, False),
        ({"only_tenant": ACME}, False),
        ({"tenant_id": ACME}, False),
    ],
)
def test_silence_matches_by_all_its_conditions(conditions: dict[str, object], is_silenced: bool) -> None:
    verdict = judge(WAIT, [], [AlertSilence(pk=SILENCE.pk, **conditions)])
    assert verdict.is_sent is not is_silenced
