"""The tick's statements with many tenants and jobs: they read a bounded number of rows, by indexes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from scheduling.dispatch import collect
from scheduling.dispatch import tick as tick_module
from scheduling.dispatch.collect import fold_wakes
from scheduling.dispatch.tick import run_tick
from scheduling.dispatch.wakes import BULK_TENANTS, wake_tenants
from scheduling.fleet.workers import Registration
from scheduling.models import FairShareNode, Queue, TenantCapacity, Wake, Worker, WorkerPool
from tenants.context import all_tenants
from tenants.models import Plan, Tenant
from tests.databases import TestDatabase, connect_as_owner
from tests.integration.scheduling.job_helpers import Start, Tick, complete, in_flight, submit

IDLE_TENANTS = 20_000
BACKLOG = 10_000
# Four slots: if more than a few rows per slot are read, the number depends on the size of a table.
MOST_ROWS = 300
BIG_TABLES = {
    "scheduling_schedulingentity",
    "scheduling_job_ready",
    "scheduling_job",
    "scheduling_tenant_capacity",
    "tenants_tenant",
}
# Tables that fill and empty, and were full when their statistics were taken.
FLOODED = ("scheduling_settled", "scheduling_execution_live", "scheduling_wake")
_FLOOD = """
SELECT pg_restore_relation_stats(
    'schemaname', 'public', 'relname', %s::text, 'relpages', 1::int, 'reltuples', 100000::real)
"""

_FILL = """
WITH tenant AS (
    INSERT INTO tenants_tenant SELECT (t.r).* FROM (
        SELECT jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'slug', 'idle-' || n)) AS r
        FROM tenants_tenant t, generate_series(1, %(tenants)s) AS n WHERE t.id = %(like)s
    ) t RETURNING id
), capacity AS (
    INSERT INTO scheduling_tenant_capacity (tenant_id, in_flight) SELECT id, 0 FROM tenant
)
INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, weight_milli, vruntime, is_runnable, in_flight, waiting,
    head_rank, estimate_us)
SELECT id, %(queue)s, 1000, 0, false, 0, 0, 0, 1000000 FROM tenant
"""


def add_idle_tenants(like: Tenant, count: int) -> None:
    with all_tenants(), connection.cursor() as cursor:
        queue = Queue.objects.get(name="tasks_team").pk
        cursor.execute(_FILL, {"tenants": count, "like": like.pk, "queue": queue})


def analyze(database: TestDatabase) -> None:
    """Take statistics of the tables, as autovacuum does; without them a plan is a guess."""
    with connect_as_owner(database.name) as owner:
        for table in [*sorted(BIG_TABLES), "scheduling_queue"]:
            owner.execute(f"ANALYZE {table}")


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from scans(child)


@contextmanager
def explaining() -> Iterator[list[dict[str, Any]]]:
    """Yield a list that receives the nodes of the `EXPLAIN ANALYZE` plans of each statement in the block."""
    nodes: list[dict[str, Any]] = []

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        # The tick's first read is sent together with settings, which cannot be explained.
        statement = sql.rpartition("jit = off; ")[2].lstrip()
        if statement.startswith(("WITH", "UPDATE scheduling", "SELECT")) and "scheduling_" in statement:
            with connection.connection.cursor() as cursor:
                cursor.execute("SAVEPOINT explained")
                cursor.execute("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement, params)
                (answer,) = cursor.fetchone()
                cursor.execute("ROLLBACK TO SAVEPOINT explained")
            plans = json.loads(answer) if isinstance(answer, str) else answer
            nodes.extend(scans(plans[0]["Plan"]))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield nodes


def rows_read(node: dict[str, Any]) -> float:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


@pytest.mark.django_db(transaction=True)
def test_idle_pool_reads_no_lines_of_others(acme: Tenant, django_db_setup: Any) -> None:
    add_idle_tenants(acme, IDLE_TENANTS // 10)
    with all_tenants():
        FairShareNode.objects.update(is_runnable=True)
        busy = Queue.objects.get(name="tasks_team").pool_id
        idle = WorkerPool.objects.exclude(pk=busy).first()
    assert idle is not None
    with connect_as_owner(django_db_setup.name) as owner:
        owner.execute("ANALYZE scheduling_schedulingentity")
    with explaining() as nodes:
        assert run_tick(idle.pk).was_led
    lines = [node for node in nodes if node.get("Relation Name") == "scheduling_schedulingentity"]
    assert lines
    assert sum(map(rows_read, lines)) == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("idle_tenants", "flooded"), [(IDLE_TENANTS, ()), (IDLE_TENANTS // 5, FLOODED)], ids=["", "after-a-flood"]
)
def test_tick_reads_by_index_as_many_rows_as_its_slots_need(
    acme: Tenant,
    globex: Tenant,
    tick: Tick,
    worker: Registration,
    start: Start,
    django_db_setup: Any,
    idle_tenants: int,
    flooded: Sequence[str],
) -> None:
    add_idle_tenants(acme, idle_tenants)
    analyze(django_db_setup)
    for _ in range(BACKLOG // 1_000):
        submit(acme, 1_000)
    submit(globex, 3)
    tick()
    # One execution continues, so that the tick reads which running tenants are at their cap.
    for job in in_flight()[1:]:
        complete(start, job)
    analyze(django_db_setup)
    with connect_as_owner(django_db_setup.name) as owner:
        for table in flooded:
            owner.execute(_FLOOD, [table])
    with all_tenants(), connection.cursor() as cursor:
        # If the others were known to be short, they would be merged, and more of them would be read.
        cursor.execute("UPDATE scheduling_settled SET is_sample = false")
        Worker.objects.update(heartbeat_at=Now())  # filling the tables took longer than its heartbeat is valid
    with explaining() as nodes:
        assert tick().dispatched == worker.slots - 1
    # Its first reads, capacity and queues, were explained.
    seen = {node.get("Relation Name") for node in nodes}
    assert seen >= {"scheduling_job_held", "scheduling_worker", "scheduling_queue_clock"}
    read = [node for node in nodes if node.get("Relation Name") in BIG_TABLES and "Scan" in node["Node Type"]]
    assert {node["Relation Name"] for node in read} == BIG_TABLES
    assert [node for node in read if node["Node Type"] == "Seq Scan"] == []
    assert max(rows_read(node) for node in read) <= MOST_ROWS
    # No list is scanned once for each row of another.
    assert [node["CTE Name"] for node in nodes if node["Node Type"] == "CTE Scan" and node["Actual Loops"] > 1] == []


@pytest.mark.django_db
def test_plan_change_that_wakes_many_tenants_is_folded_in_parts(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (collect, tick_module):
        monkeypatch.setattr(module, "WAKE_ROWS", 50)
    add_idle_tenants(acme, 2 * BULK_TENANTS)
    with all_tenants():
        many = list(Tenant.objects.filter(slug__startswith="idle-").values_list("id", flat=True))
        wake_tenants(tenant_ids=many)
    (job,) = submit(globex)
    result = tick()
    assert [running.pk for running in in_flight()] == [job.pk]
    assert result.has_more
    ticks = 1
    while tick().has_more:
        ticks += 1
    assert ticks == 2 * BULK_TENANTS // 50
    with all_tenants():
        assert not Wake.objects.exists()


@pytest.mark.django_db
def test_wakes_are_folded_once_with_statistics_of_empty_tables(
    acme: Tenant, tick: Tick, worker: Registration, django_db_setup: TestDatabase
) -> None:
    with transaction.atomic():
        add_idle_tenants(acme, 2 * BULK_TENANTS)
        transaction.set_rollback(True)
    with connect_as_owner(django_db_setup.name) as owner:
        owner.execute("ANALYZE")
    add_idle_tenants(acme, 2 * BULK_TENANTS)
    with all_tenants():
        wake_tenants(tenant_ids=list(Tenant.objects.values_list("id", flat=True)))
    with explaining() as nodes:
        tick()
    # Each tenant beside each wake at most; not that again for each line.
    assert max(node["Actual Loops"] for node in nodes) <= (2 * BULK_TENANTS + 2) ** 2


@pytest.mark.django_db
def test_changed_weight_applies_to_the_backlog_before_its_wakes_are_folded(
    acme: Tenant, tick: Tick, worker: Registration
) -> None:
    submit(acme, 2)
    fold_wakes(Queue.objects.get(name="tasks_team").pool_id)
    with all_tenants():
        Plan.objects.filter(pk=acme.plan_id).update(weight=50)
    tick()
    with all_tenants():
        entity = FairShareNode.objects.get()
        assert set(in_flight()[0].live_execution.__class__.objects.values_list("weight_milli", flat=True)) == {50_000}
    assert entity.in_flight == 2


@pytest.mark.django_db(transaction=True)
def test_tick_does_not_wait_for_another_pools_tick(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration
) -> None:
    """Fold, then lock capacity, without waiting for the other tick: waiting could deadlock."""
    submit(acme)
    submit(globex)

    def tick_beside() -> tuple[bool, set[object]]:
        try:
            return tick().has_more, {job.tenant_id for job in in_flight()}
        finally:
            connection.close()

    with all_tenants(), transaction.atomic():
        TenantCapacity.objects.select_for_update().get(tenant=acme)
        with ThreadPoolExecutor(max_workers=1) as beside:
            assert beside.submit(tick_beside).result(timeout=60) == (True, {globex.pk})
    assert tick().dispatched == 1
    assert {job.tenant_id for job in in_flight()} == {acme.pk, globex.pk}
