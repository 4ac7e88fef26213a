"""Invariants: a random walk over all transitions of jobs, with a recount after each step."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection

from scheduling.dispatch import tick as tick_module
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.lifecycle import ALLOWED_TRANSITIONS, TERMINAL_STATES, JobState
from scheduling.models import Job, JobEvent, WorkerPool
from scheduling.stops.pauses import pause_kind, resume_kind
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Tick, submit
from tests.integration.scheduling.random_walk import Walk
from tests.integration.scheduling.startable_jobs import read_idle_slots
from tests.predictions import predict

pytestmark = pytest.mark.django_db

STEPS = 150
# Each job is in exactly one place, and every counter equals its recount (including unfolded wakes).
RECOUNT = """
SELECT 'place', j.id::text FROM scheduling_job j
WHERE (j.state = 'available') <> (
        EXISTS (SELECT FROM scheduling_job_ready r WHERE r.job_id = j.id)
        OR EXISTS (SELECT FROM scheduling_job_held h WHERE h.job_id = j.id))
   OR (j.state = 'suspended') <> EXISTS (SELECT FROM scheduling_job_suspended s WHERE s.job_id = j.id)
   OR (j.state IN ('scheduled', 'retryable')) <> EXISTS (SELECT FROM scheduling_job_due d WHERE d.job_id = j.id)
   OR (j.state IN ('dispatched', 'executing'))
        <> EXISTS (SELECT FROM scheduling_execution_live l WHERE l.job_id = j.id AND l.fence = j.fence)
   OR (j.state IN ('discarded', 'quarantined')) <> EXISTS (SELECT FROM scheduling_deadletter d WHERE d.job_id = j.id)
UNION ALL
SELECT 'waiting', e.id::text FROM scheduling_schedulingentity e
WHERE e.waiting + (SELECT coalesce(sum(w.waiting_delta), 0) FROM scheduling_wake w WHERE w.entity_id = e.id)
   <> (SELECT count(*) FROM scheduling_job j WHERE j.tenant_id = e.tenant_id AND j.queue_id = e.queue_id
        AND j.fair_key = e.fair_key AND j.state IN ('available', 'scheduled', 'retryable'))
UNION ALL
SELECT 'entity in flight', e.id::text FROM scheduling_schedulingentity e
WHERE e.in_flight <> (SELECT count(DISTINCT message_id) FROM (
    SELECT message_id FROM scheduling_execution_live l WHERE l.entity_id = e.id
    UNION ALL SELECT message_id FROM scheduling_settled s WHERE s.entity_id = e.id) AS executions)
UNION ALL
SELECT 'of the keys', e.id::text FROM scheduling_schedulingentity e
    LEFT JOIN scheduling_schedulingentity k ON k.parent_id = e.id
WHERE e.parent_id IS NULL GROUP BY e.id
HAVING e.keys_waiting <> coalesce(sum(k.waiting), 0) OR e.keys_in_flight <> coalesce(sum(k.in_flight), 0)
UNION ALL
SELECT 'line', j.id::text FROM scheduling_job j JOIN (
    SELECT job_id, entity_id FROM scheduling_job_ready UNION ALL SELECT job_id, entity_id FROM scheduling_job_due
    UNION ALL SELECT job_id, entity_id FROM scheduling_job_held
    UNION ALL SELECT job_id, entity_id FROM scheduling_execution_live
) place ON place.job_id = j.id LEFT JOIN scheduling_schedulingentity e ON e.id = place.entity_id
WHERE (e.tenant_id, e.queue_id, e.fair_key) IS DISTINCT FROM (j.tenant_id, j.queue_id, j.fair_key)
UNION ALL
SELECT 'tenant in flight', c.tenant_id::text FROM scheduling_tenant_capacity c
WHERE c.in_flight <> (SELECT count(DISTINCT message_id) FROM (
    SELECT message_id FROM scheduling_execution_live l WHERE l.tenant_id = c.tenant_id
    UNION ALL SELECT message_id FROM scheduling_settled s WHERE s.tenant_id = c.tenant_id) AS executions)
"""


@pytest.mark.parametrize("seed", range(4))
def test_counters_equal_their_recount_after_every_step(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, pool: WorkerPool, seed: int
) -> None:
    # Half of the kinds are small and are merged.
    predict("noop", 1_000)
    walk = Walk(seed, [acme, globex], tick, worker)
    for number in range(10 * STEPS):
        if number >= STEPS and walk.largest > 1:
            break  # long enough, and small jobs have been merged
        walk.step()
        assert recount() == [], f"seed {seed}, step {number}"
        assert walk.idle == [], f"seed {seed}, step {number}"
        assert faults_of("ledger") == [], f"seed {seed}, step {number}"
    assert walk.largest > 1
    check_histories()


def recount() -> list[tuple[str, str]]:
    """Return the name and row of each value that differs from its recount."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(RECOUNT)
        return cursor.fetchall()


def check_histories() -> None:
    """Assert that every job's events form a legal history that ends in its state."""
    with all_tenants():
        jobs = dict(Job.objects.values_list("id", "state"))
        events = list(JobEvent.objects.order_by("at", "id").values_list("job_id", "name", "state"))
    states: dict[UUID, JobState] = {}
    for job_id, name, after in events:
        before, states[job_id] = states.get(job_id), JobState(after)
        if before is None:
            assert name == "job.submitted", f"it begins with {name}"
        elif before is not states[job_id]:
            assert states[job_id] in ALLOWED_TRANSITIONS[before], f"{name} leads from {before} to {after}"
        else:
            assert before not in TERMINAL_STATES, f"{name} comes after {before}"
    assert states == jobs, "the last event is not the state"


ANY_ENTITY = "(SELECT id FROM scheduling_schedulingentity WHERE parent_id IS NULL LIMIT 1)"
MISCOUNTS = [
    ("place", "DELETE FROM scheduling_job_ready"),
    ("place", "DELETE FROM scheduling_execution_live"),
    ("waiting", f"UPDATE scheduling_schedulingentity SET waiting = waiting + 1 WHERE id = {ANY_ENTITY}"),
    ("entity in flight", f"UPDATE scheduling_schedulingentity SET in_flight = in_flight + 1 WHERE id = {ANY_ENTITY}"),
    ("of the keys", f"UPDATE scheduling_schedulingentity SET keys_waiting = keys_waiting + 1 WHERE id = {ANY_ENTITY}"),
    ("of the keys", f"UPDATE scheduling_schedulingentity SET keys_in_flight = 9 WHERE id = {ANY_ENTITY}"),
    ("line", f"UPDATE scheduling_job_ready SET entity_id = {ANY_ENTITY}"),
    ("tenant in flight", "UPDATE scheduling_tenant_capacity SET in_flight = in_flight + 1"),
]


@pytest.mark.parametrize(("what", "miscount"), MISCOUNTS)
def test_recount_finds_each_miscount(acme: Tenant, tick: Tick, worker: Registration, what: str, miscount: str) -> None:
    submit(acme, 6, fair_key="ann")
    submit(acme, 3)
    tick()
    assert recount() == []
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(miscount)
        assert cursor.rowcount > 0
    assert what in {name for name, _ in recount()}


FORGERIES = [
    ("dispatched", "job.resumed", "completed", "leads from dispatched to completed"),
    ("cancelled", "job.cancelled", "cancelled", "comes after cancelled"),
    ("cancelled", "execution.started", "executing", "leads from cancelled to executing"),
    ("available", "job.cancelled", "cancelled", "the last event is not the state"),
]


@pytest.mark.parametrize(("state", "name", "after", "objection"), FORGERIES, ids=lambda value: value)
def test_illegal_history_is_found(
    acme: Tenant, tick: Tick, worker: Registration, state: str, name: str, after: str, objection: str
) -> None:
    (job,) = submit(acme)
    if state == "dispatched":
        tick()
    elif state == "cancelled":
        with tenant_context(acme):
            cancel_jobs(job_ids=[job.pk])
    check_histories()
    with all_tenants():
        last = JobEvent.objects.filter(job_id=job.pk).order_by("at", "id").last()
        assert last is not None
        JobEvent.objects.create(
            id=uuid7(), tenant_id=acme.pk, job_id=job.pk, at=last.at + timedelta(seconds=1), name=name, state=after
        )
    with pytest.raises(AssertionError, match=objection):
        check_histories()


@pytest.mark.parametrize("forgotten", ["fold_wakes", "hold_refused_rows", "stage_held"])
def test_idle_slot_is_found(
    acme: Tenant, tick: Tick, worker: Registration, monkeypatch: pytest.MonkeyPatch, forgotten: str
) -> None:
    pause_kind(kind="sleep")
    submit(acme, 9, "sleep", payload={"seconds": 0})
    if forgotten != "stage_held":
        submit(acme)
        monkeypatch.setattr(tick_module, forgotten, lambda *_: () if forgotten == "hold_refused_rows" else 0)
    while tick().has_more and forgotten != "hold_refused_rows":
        pass
    if forgotten == "stage_held":
        resume_kind(kind="sleep")
        assert read_idle_slots(worker.pool_id) != []
        monkeypatch.setattr(tick_module, forgotten, lambda *_: 0)
        tick()
    assert read_idle_slots(worker.pool_id) != []
    monkeypatch.undo()
    while tick().has_more:
        pass
    assert read_idle_slots(worker.pool_id) == []
