"""Verification by upkeep: a correct state is clean, each planted fault is found, and nothing is repaired."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection

from scheduling.models import FairShareNode, TenantCapacity
from scheduling.statistics.rollups import fold_tallies
from scheduling.upkeep.partitions import DAYS_AHEAD, HISTORY_TABLES, maintain_partitions, missing_days
from scheduling.upkeep.runs import run_upkeep
from scheduling.upkeep.status import find_upkeep_warnings
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, submit

pytestmark = pytest.mark.django_db


def execute(statement: str) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def work(acme: Tenant, tick: Tick, start: Start) -> None:
    """Create a completed job, some in flight and some waiting, and news that no tick has folded."""
    jobs = submit(acme, 9)
    tick()
    complete(start, jobs[0])
    submit(acme, 2)


def test_correct_state_is_clean(work: None) -> None:
    for name in ("verify_ledger", "verify_counters", "verify_rollups", "verify_audit", "verify_usage"):
        assert run_upkeep(name=name).outcome == "ok", name


@pytest.mark.parametrize(
    ("fault", "code", "counter"),
    [
        ("UPDATE scheduling_schedulingentity SET waiting = waiting + 1", "waiting_counter", "waiting jobs of entity"),
        (
            "UPDATE scheduling_schedulingentity SET in_flight = in_flight - 1",
            "in_flight_counter",
            "in flight by queue of entity",
        ),
        (
            "UPDATE scheduling_schedulingentity SET keys_waiting = 1",
            "keys_waiting_counter",
            "waiting jobs of the keys of entity",
        ),
        (
            "UPDATE scheduling_schedulingentity SET keys_in_flight = 1",
            "keys_in_flight_counter",
            "in flight of the keys of entity",
        ),
        (
            "UPDATE scheduling_tenant_capacity SET in_flight = in_flight + 1",
            "capacity_counter",
            "in flight by tenant of tenant",
        ),
    ],
)
def test_wrong_counters_are_reported_and_not_repaired(
    work: None, acme: Tenant, fault: str, code: str, counter: str
) -> None:
    execute(fault)
    with all_tenants():
        before = (list(FairShareNode.objects.values()), list(TenantCapacity.objects.values()))
    run = run_upkeep(name="verify_counters")
    assert run.outcome == "failed"
    findings = [str(sentence) for sentence in run.sentences]
    assert findings
    assert all(text.startswith(f"{code} of tenant {acme.pk}: ") and counter in text for text in findings)
    with all_tenants():
        assert before == (list(FairShareNode.objects.values()), list(TenantCapacity.objects.values()))
    assert [w.code for w in find_upkeep_warnings() if w.name == "verify_counters"] == ["failed"]


def test_ready_row_of_a_suspended_job_fails_the_state_task(work: None) -> None:
    execute("UPDATE scheduling_job SET state = 'suspended' WHERE state = 'available'")
    run = run_upkeep(name="verify_state")
    assert run.outcome == "failed"
    assert any(str(sentence).startswith("place_of_another_state") for sentence in run.sentences)


def test_wrong_ledger_is_reported(work: None) -> None:
    execute("UPDATE scheduling_charge SET microseconds = microseconds + 1 WHERE reason = 'corrected'")
    run = run_upkeep(name="verify_ledger")
    assert run.outcome == "failed"
    assert "off by 1 µs" in run.messages[0]


def test_rollups_are_verified_by_upkeep(work: None) -> None:
    fold_tallies()
    for table, column in (
        ("scheduling_tenant_minute", "minute"),
        ("scheduling_queue_minute", "minute"),
        ("scheduling_kind_minute", "minute"),
        ("scheduling_execution", "started_at"),
        ("scheduling_execution", "ended_at"),
    ):
        execute(f"UPDATE {table} SET {column} = {column} - interval '2 hours'")
    assert run_upkeep(name="verify_rollups").outcome == "ok"
    execute("UPDATE scheduling_kind_minute SET completed = 7")
    assert run_upkeep(name="verify_rollups").outcome == "failed"


def test_uncounted_executions_are_rolled_up_by_upkeep(work: None) -> None:
    assert run_upkeep(name="rollups").counts == {"executions": 1}
    assert run_upkeep(name="rollups").counts == {"executions": 0}


def test_days_without_a_partition_are_reported(db: None) -> None:
    assert len(missing_days()) == len(HISTORY_TABLES)
    assert len(maintain_partitions()) == len(HISTORY_TABLES) * DAYS_AHEAD
    assert missing_days() == []
    assert run_upkeep(name="partitions").outcome == "ok"


def test_concurrent_folds_are_excluded_by_a_lock(work: None, monkeypatch: pytest.MonkeyPatch) -> None:
    led: Callable[[int], bool] = lambda lock: False  # noqa: E731 - what another leader looks like
    monkeypatch.setattr("scheduling.statistics.rollups.try_to_lead", led)
    assert fold_tallies() == 0
    monkeypatch.undo()
    assert fold_tallies() == 1
