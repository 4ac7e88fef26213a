"""Verification by pages of tenants: it resumes after a kill or a timeout, and misses nothing."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from psycopg.errors import QueryCanceled

from scheduling.consistency import registry
from scheduling.consistency.registry import CheckPage, CheckRange, ConsistencyFault, find_checks, state_checks
from scheduling.consistency.walk import check_page
from scheduling.models import Charge, UpkeepRun
from scheduling.statistics.rollups import fold_tallies
from scheduling.upkeep.runs import run_upkeep
from tenants.context import all_tenants
from tenants.database.ids import uuid7
from tenants.models import Tenant
from tenants.tenancy import queries as tenant_pages
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Start, Tick, complete, submit

pytestmark = pytest.mark.django_db
WALKS = ["verify_ledger", "verify_counters", "verify_rollups", "verify_usage", "verify_space"]
OLD_HOURS = """
    UPDATE scheduling_tenant_minute SET minute = minute - interval '2 hours';
    UPDATE scheduling_queue_minute SET minute = minute - interval '2 hours';
    UPDATE scheduling_kind_minute SET minute = minute - interval '2 hours';
    UPDATE scheduling_execution
        SET started_at = started_at - interval '2 hours', ended_at = ended_at - interval '2 hours'
"""


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_pages, "TENANTS_PER_PAGE", 1)


@pytest.fixture
def work(acme: Tenant, globex: Tenant, tick: Tick, start: Start) -> None:
    """Create a completed job, some in flight and some waiting, of each tenant; rolled up, two hours ago."""
    jobs = [submit(tenant, 3)[0] for tenant in (acme, globex)]
    tick()
    for job in jobs:
        complete(start, job)
    fold_tallies()


def execute(statement: str, *values: object) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(statement, values)


def walk(name: str) -> list[UpkeepRun]:
    """Yield runs without any time, which take one step each, until one reaches the end."""
    runs = [run_upkeep(name=name, seconds=0)]
    while runs[-1].cursor:
        runs.append(run_upkeep(name=name, seconds=0))
    return runs


@pytest.mark.parametrize("name", WALKS)
def test_clean_state_is_walked_to_the_end(work: None, name: str) -> None:
    # Usage is that of a month, which may have begun less than two hours ago.
    if name != "verify_usage":
        execute(OLD_HOURS)
    *partial, last = walk(name)
    assert {run.outcome for run in partial} == {"partial"}
    assert last.outcome == "ok"
    assert sum(run.counts["tenants"] for run in (*partial, last)) == 2
    assert (run := run_upkeep(name=name)).counts["tenants"] == 2
    assert run.outcome == "ok"


@pytest.mark.parametrize(
    ("name", "fault", "words"),
    [
        (
            "verify_ledger",
            "UPDATE scheduling_charge SET microseconds = microseconds + 1 WHERE reason = 'corrected'",
            "1",
        ),
        ("verify_counters", "UPDATE scheduling_tenant_capacity SET in_flight = in_flight + 1", "in flight by tenant"),
        ("verify_rollups", "UPDATE scheduling_tenant_minute SET completed = completed + 7", "tenant-minute of"),
        ("verify_rollups", "UPDATE scheduling_kind_minute SET completed = completed + 7", "kind-minute of"),
    ],
)
def test_fault_of_each_tenant_is_reported_once(
    work: None, acme: Tenant, globex: Tenant, name: str, fault: str, words: str
) -> None:
    execute(OLD_HOURS)
    execute(fault)
    findings = [finding for run in walk(name) for finding in run.messages if words in finding]
    for tenant in (acme, globex):
        assert sum(str(tenant.pk) in finding for finding in findings) == 1, findings


def test_page_that_times_out_is_reported_and_hides_no_other(
    work: None, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute("UPDATE scheduling_charge SET microseconds = 1 WHERE reason = 'corrected'")
    (ledger,), pages = find_checks(["ledger"]), []

    def cancel_the_first(piece: CheckRange) -> CheckPage:
        pages.append(piece)
        return ledger.look(piece) if len(pages) > 1 else check_page(piece, cancel)

    def cancel(page: tenant_pages.TenantPage) -> list[ConsistencyFault]:
        raise OperationalError("canceling statement due to statement timeout") from QueryCanceled()

    checks = [replace(check, look=cancel_the_first) if check is ledger else check for check in state_checks()]
    monkeypatch.setattr(registry, "state_checks", lambda: checks)
    run = run_upkeep(name="verify_ledger")
    assert run.outcome == "failed"
    assert run.cursor == {}
    slow, off = run.messages
    assert "took too long" in slow
    assert str(globex.pk) in off


@pytest.mark.parametrize("stray", [UUID(int=1), UUID(int=2**128 - 1)])
def test_rows_of_a_deleted_tenant_are_checked(work: None, stray: UUID) -> None:
    execute(
        "INSERT INTO scheduling_charge (id, tenant_id, reason, microseconds, at) VALUES (%s, %s, 'closing', 5, now())",
        uuid7(),
        stray,
    )
    assert [fault.tenant_id for fault in faults_of("ledger")] == [stray]
    with all_tenants():
        assert Charge.objects.filter(tenant_id=stray).count() == 1
