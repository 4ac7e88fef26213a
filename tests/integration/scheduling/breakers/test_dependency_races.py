"""Concurrent breakers: exact while workers settle and ticks read at once, and constant cost for many breakers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from scheduling.breakers.rules import DependencyReport
from scheduling.breakers.state import update_circuits
from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import StartedExecution
from scheduling.fleet.workers import Registration
from scheduling.models import Circuit, CircuitNews, Job, JobHeld, Worker
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.tenancy.service import update_tenant
from tests.databases import connect_as_owner
from tests.integration.scheduling.dispatch.test_tick_at_size import MOST_ROWS, explaining, rows_read
from tests.integration.scheduling.job_helpers import Start, Tick, begin, in_flight, submit
from tests.platform_settings import ChangePlatformSettings

API = "api.example.com"
BREAKERS = 5_000
_FILL = """
INSERT INTO scheduling_circuit_breaker (tenant_id, kind, dependency, holds_all, state, failures, tenants, fingerprint,
    error_type, error_message, counted_from, until, forced_by, forced_reason)
SELECT %(tenant)s, %(kind)s, 'host-' || n, false, 'open', 3, '{}', 'f', 'Timeout', '', now(),
    now() + interval '1 hour', '', ''
FROM generate_series(1, %(count)s) AS n
"""


def failure(started: StartedExecution) -> Settlement:
    report = DependencyReport(API, True, False, "f" * 16, "Timeout", "no answer")
    error = settlement_builders.Failure.of(OSError("no answer"), is_permanent=False)
    policy = settlement_builders.RetryPolicy(max_retries=3)
    failed = settlement_builders.failed(started.execution_id, started.fence, error, failed_attempts=1, policy=policy)
    return replace(failed, dependencies=(report,))


def at_once(acts: list[Callable[[], object]]) -> list[object]:
    """Run the calls at once, each on its own connection."""
    barrier = Barrier(len(acts))

    def go(act: Callable[[], object]) -> object:
        try:
            barrier.wait(timeout=30)
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as threads:
        return [future.result(timeout=60) for future in [threads.submit(go, act) for act in acts]]


def fold() -> None:
    with all_tenants():
        update_circuits()


@pytest.mark.django_db(transaction=True)
def test_failures_are_counted_once_while_workers_settle_and_ticks_fold(
    acme: Tenant,
    globex: Tenant,
    tick: Tick,
    worker: Registration,
    start: Start,
    change_platform_settings: ChangePlatformSettings,
) -> None:
    change_platform_settings(CIRCUIT_FAILURES=1_000)
    with all_tenants():
        Worker.objects.update(slots=12)
    for tenant in (acme, globex):
        update_tenant(tenant=tenant, changes={"max_concurrency": 6})
    jobs = [*submit(acme, 6), *submit(globex, 6)]
    while tick().has_more:
        pass
    started = [begin(start, job) for job in jobs]
    for pair in zip(started[::2], started[1::2], strict=True):
        settling = [lambda one=one: settle([failure(one)]) for one in pair]
        at_once([*settling, fold, fold])
    fold()
    with all_tenants():
        assert not CircuitNews.objects.exists()
        counted = {
            (circuit.tenant.slug if circuit.tenant else "", circuit.dependency): circuit.failures
            for circuit in Circuit.objects.select_related("tenant")
        }
        shared = Circuit.objects.get(tenant=None)
    assert counted == {("acme", API): 6, ("globex", API): 6, ("", API): 12}
    assert shared.tenants == {str(acme.pk): 6, str(globex.pk): 6}


@pytest.mark.django_db(transaction=True)
def test_concurrent_ticks_start_one_probe(acme: Tenant, globex: Tenant, tick: Tick, worker: Registration) -> None:
    with all_tenants():
        Circuit.objects.create(
            tenant=None,
            kind="noop",
            dependency=API,
            holds_all=False,
            state="open",
            failures=3,
            fingerprint="f",
            error_type="Timeout",
            error_message="no answer",
            counted_from=Now(),
            until="2100-01-01T00:00:00Z",
        )
    for tenant in (acme, globex):
        submit(tenant, 3)
    with all_tenants():
        Job.objects.update(dependencies=[API], shared_dependencies=[API])
    while tick().has_more:
        pass
    with all_tenants():
        assert JobHeld.objects.count() == 6
        Circuit.objects.update(until=Now() - timedelta(hours=1))
    at_once([fold] * 4)
    tick()
    assert len(in_flight()) == 1
    with all_tenants():
        assert JobHeld.objects.count() == 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("whose", ["own", "shared", "another kind's"])
def test_many_open_breakers_cost_a_tick_a_bounded_number_of_rows(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, django_db_setup: Any, whose: str
) -> None:
    submit(acme, 1_000)
    with all_tenants(), connection.cursor() as cursor:
        kind = "sleep" if whose == "another kind's" else "noop"
        cursor.execute(_FILL, {"tenant": None if whose == "shared" else acme.pk, "kind": kind, "count": BREAKERS})
        # All of them need a dependency, and none of them a failed one.
        cursor.execute("UPDATE scheduling_job SET dependencies = '{free}', shared_dependencies = '{free}'")
    with connect_as_owner(django_db_setup.name) as owner:
        for table in ("scheduling_circuit_breaker", "scheduling_job", "scheduling_job_ready"):
            owner.execute(f"ANALYZE {table}")
    with explaining() as nodes:
        assert tick().dispatched > 0
    tables = {"scheduling_circuit_breaker", "scheduling_job"}
    read = [node for node in nodes if node.get("Relation Name") in tables and "Scan" in node["Node Type"]]
    assert "scheduling_circuit_breaker" in {node["Relation Name"] for node in read}
    assert [node for node in read if node["Node Type"] == "Seq Scan"] == []
    assert max(rows_read(node) for node in read) <= MOST_ROWS
