"""Time slices: once a second, request a yield of jobs whose slice is used up and whose slot others should have.

The decision is made outside the ticks but like them: under a lock of the pool, from the database's current state. A
request that is no longer justified is withdrawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from psycopg.rows import scalar_row

from scheduling import signals
from scheduling.dispatch.claim import limit_rates, tokens
from scheduling.dispatch.leadership import try_to_lead
from scheduling.dispatch.pick import read_rows
from scheduling.dispatch.read import read_pool, rows_wanted
from scheduling.fairness.run_queue import ReadJobs
from scheduling.fairness.shares import KeyShare, TenantShare
from scheduling.fairness.slices import Running, choose_yields
from scheduling.kit import registry
from scheduling.models import CFSPlan
from scheduling.priority_rules.acting import acting_effects
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_all, prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_POOLS = _SQL["find_sliced_pools"]
_RUNNING = _SQL["read_running"]
_ASK = _SQL["request_yields"]


def request_slice_yields() -> None:
    """Request yields in each pool in which a slice is used up or a yield was requested; a duty of the dispatcher."""
    with all_tenants():
        pool_ids = fetch_all(_POOLS, {"strategy": CFSPlan.Strategy.TIME_SLICE}, scalar_row)
    for pool_id in pool_ids:
        request_yields_in_pool(pool_id)


def request_yields_in_pool(pool_id: int) -> None:
    """Request or withdraw yields of a pool's running executions; do nothing while another process does so."""
    # Import plug-ins before the transaction, which must not idle.
    registry.memory_needs()
    with all_tenants():
        if not try_to_lead(LockClass.SLICES, pool_id):
            return
        changes = _ask(pool_id, _choose(pool_id))
    if changes:
        signals.yields_decided.send(None, requested=sum(changes), withdrawn=len(changes) - sum(changes))


def _choose(pool_id: int) -> Sequence[UUID]:
    running = _read_running(pool_id)
    used = sum(one.is_used for one in running)
    if not used:
        return []
    reading, rates = limit_rates(read_pool(pool_id, freed=used))
    # A returned slot grants no token: in a queue without tokens no other job could start.
    spent = {queue_id for queue_id, rate in rates.items() if not tokens(rate, 1)}
    share = replace(reading.share, queues=[queue for queue in reading.share.queues if queue.queue_id not in spent])
    reading = replace(reading, share=share)
    # Jobs that may not start are no reason to yield; of a line that they hide, only the rows seen are read.
    rows = read_rows(rows_wanted(reading), slice_us=reading.slice_us, effects=acting_effects(pool_id)).rows
    # While one execution is settled, another may be about to take its slot.
    free = max(0, reading.slots - reading.in_flight)
    return choose_yields(reading.share, ReadJobs(rows), running, free=free)


def _read_running(pool_id: int) -> list[Running]:
    """Return the running executions of the pool; empty if the active plan slices no time."""
    values = {"pool_id": pool_id, "strategy": CFSPlan.Strategy.TIME_SLICE}
    return [_running_of(row) for row in fetch_all(_RUNNING, values)]


def _running_of(row: Any) -> Running:
    """Return the running execution of a row of ``read_running``."""
    owner = TenantShare(
        entity_id=row.tenant_entity_id,
        tenant_id=row.tenant_id,
        weight_milli=row.tenant_weight_milli,
        vruntime=row.vruntime,
        in_flight=row.in_flight,
        head_rank=row.head_rank,
        waiting=row.waiting,
        estimate_us=row.estimate_us,
        own_vruntime=row.own_vruntime,
        virtual_time=row.virtual_time,
    )
    line = KeyShare(
        entity_id=row.line_id,
        vruntime=row.line_vruntime,
        in_flight=row.line_in_flight,
        head_rank=row.line_head_rank,
        waiting=row.line_waiting,
        estimate_us=row.line_estimate_us,
    )
    return Running(
        owner=owner,
        line=line,
        execution_id=row.execution_id,
        queue_id=row.queue_id,
        rank=row.rank,
        weight_milli=row.weight_milli,
        queue_weight_milli=row.queue_weight_milli,
        charged_us=row.predicted_us,
        elapsed_us=row.elapsed_us,
        is_used=row.is_used,
        is_requested=row.is_requested,
    )


def _ask(pool_id: int, execution_ids: Sequence[UUID]) -> list[bool]:
    """Set the yield requests to ``execution_ids``; return True for each new one and False for each withdrawn one."""
    with prepared_cursor(scalar_row) as cursor:
        cursor.execute(_ASK, {"pool_id": pool_id, "execution_ids": list(execution_ids)})
        asked: list[bool] = cursor.fetchall()
        return asked
