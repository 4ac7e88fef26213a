"""Refused rows: settled rows that cannot be folded are set aside, and no other row waits for them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduling.consistency.registry import FaultKind, fault_kinds
from scheduling.consistency.verification import verify
from scheduling.diagnosis.service import Health, diagnose
from scheduling.dispatch.rejected_rows import quarantine_rejected
from scheduling.dispatch.tick import run_tick
from scheduling.fleet.workers import Registration
from scheduling.limits.declared import WORKER_SECONDS
from scheduling.models import FairShareNode, Queue, Settled, SettledRefused, TenantCapacity, WorkerPool
from tenants.context import all_tenants
from tenants.models import Tenant, TenantUsage
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Start, Tick, complete, submit

pytestmark = pytest.mark.django_db

# Some 119 days, as after a step of the database's clock.
LONG_US = 10_292_887_116_387
MOST = 2**63 - 1
MONTH = datetime(2026, 3, 14, tzinfo=UTC)
NUMBERS = {"predicted_us", "whole_us", "measured_us", "used_us", "peak_memory_kib"}
INTEGERS = {"weight_milli", "queue_weight_milli", "payload_bytes"}


def plant(tenant_id: UUID, queue: Queue, **values: Any) -> None:
    """Insert a settled row of one millisecond, or of `values`.

    It has no entity, so each plan of the statement divides by the weight of its queue.
    """
    row = {
        "entity_id": 0,
        "message_id": uuid4(),
        "kind": "noop",
        "predicted_us": 1_000,
        "measured_us": 1_000,
        "weight_milli": 1_000,
        "queue_weight_milli": 1_000,
        "is_sample": False,
        "payload_bytes": 0,
        "used_us": 1_000,
        "ended_at": MONTH,
        **values,
    }
    with all_tenants():
        Settled.objects.bulk_create([Settled(tenant_id=tenant_id, queue_id=queue.pk, **row)])


def used_us(tenant: Tenant) -> int:
    with all_tenants():
        usage = TenantUsage.objects.filter(tenant=tenant, key=WORKER_SECONDS.key, period=MONTH.date().replace(day=1))
        return sum(usage.values_list("amount", flat=True))


def dispatch(pool: WorkerPool) -> bool:
    """Tick; if that fails, set bad rows aside and tick again, as a dispatcher does. Return whether it failed."""
    try:
        with transaction.atomic():
            run_tick(pool.pk)
            _check_constraints()
    except (DatabaseError, ValueError):
        quarantine_rejected(pool.pk)
        run_tick(pool.pk)
        _check_constraints()
        return True
    return False


def _check_constraints() -> None:
    """Check the deferred constraints, as a commit does."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def count(model: type[Settled] | type[SettledRefused]) -> int:
    with all_tenants():
        return model.objects.count()


@pytest.fixture
def queue() -> Queue:
    return Queue.objects.get(name="tasks_team")


def test_execution_of_119_days_is_folded_by_an_ordinary_tick(acme: Tenant, pool: WorkerPool, queue: Queue) -> None:
    plant(acme.pk, queue, measured_us=LONG_US)
    run_tick(pool.pk)
    assert (count(Settled), used_us(acme)) == (0, LONG_US)


def test_overflowing_row_is_set_aside_and_the_others_are_folded(
    acme: Tenant, globex: Tenant, pool: WorkerPool, queue: Queue
) -> None:
    for measured_us in (1, 20, 300):
        plant(globex.pk, queue, measured_us=measured_us)
    plant(acme.pk, queue, measured_us=MOST, weight_milli=1)
    plant(globex.pk, queue, measured_us=4_000)
    with pytest.raises(DatabaseError):
        run_tick(pool.pk)
    assert quarantine_rejected(pool.pk) == 1
    assert (count(Settled), used_us(globex), used_us(acme)) == (0, 4_321, 0)
    with all_tenants():
        (refused,) = SettledRefused.objects.all()
    assert (refused.tenant_id, refused.measured_us, refused.content["weight_milli"]) == (acme.pk, MOST, 1)
    assert refused.error.startswith("DataError: ")
    assert not dispatch(pool)


def test_row_of_a_message_is_set_aside_alone(acme: Tenant, pool: WorkerPool, queue: Queue) -> None:
    message_id = uuid4()
    for measured_us, weight in ((5, 1_000), (7, 0), (11, 1_000)):
        plant(acme.pk, queue, measured_us=measured_us, queue_weight_milli=weight, message_id=message_id)
    assert dispatch(pool)
    assert (count(SettledRefused), used_us(acme)) == (1, 16)


def test_slot_of_a_refused_row_is_free_and_counters_agree(
    acme: Tenant, tick: Tick, start: Start, pool: WorkerPool, worker: Registration
) -> None:
    first, second = submit(acme, 2)
    tick()
    complete(start, first)
    complete(start, second)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_settled SET weight_milli = 0")
    assert dispatch(pool)
    assert count(SettledRefused) == 2
    with all_tenants():
        assert TenantCapacity.objects.get(tenant=acme).in_flight == 0
        assert FairShareNode.objects.get(tenant=acme).in_flight == 0
    assert faults_of("counters", "ready", "usage") == []


def test_repair_folds_a_refused_row_once_its_cause_is_fixed(
    acme: Tenant, tick: Tick, start: Start, pool: WorkerPool, worker: Registration
) -> None:
    (job,) = submit(acme)
    tick()
    complete(start, job)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_settled SET weight_milli = 0")
    dispatch(pool)
    found = verify(repair=True, reason="after the mend")
    assert [code for code, _ in found.findings] == ["settled_refused"]
    assert found.is_clean
    assert count(SettledRefused) == 0
    assert not dispatch(pool)
    assert (count(Settled), faults_of("counters", "ready"), faults_of("usage")) == (0, [], [])


def test_diagnosis_fails_while_a_row_is_set_aside(acme: Tenant, pool: WorkerPool, queue: Queue) -> None:
    def state() -> Health:
        return next(check.state for check in diagnose().checks if check.name == "settled executions")

    assert state() is Health.OK
    plant(acme.pk, queue, queue_weight_milli=0)
    dispatch(pool)
    assert state() is Health.FAILURE
    assert isinstance(fault_kinds()["settled_refused"], FaultKind)


WILD = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.integers(-(2**63), MOST) for name in NUMBERS | {"entity_id"}},
        **{name: st.integers(-(2**31), 2**31 - 1) for name in INTEGERS},
        "message_id": st.none() | st.sampled_from([UUID(int=1), UUID(int=2)]),
        "kind": st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=64),
        "is_sample": st.booleans(),
        "ended_at": st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC)),  # noqa: DTZ001
        "tenant_id": st.uuids(),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(WILD, min_size=1, max_size=5))
def test_any_stored_row_is_folded_or_set_aside_without_blocking_others(
    acme: Tenant, globex: Tenant, pool: WorkerPool, queue: Queue, rows: list[dict[str, Any]]
) -> None:
    with transaction.atomic():
        for number, row in enumerate(rows):
            plant(globex.pk, queue, measured_us=10**number)
            plant(**{"tenant_id": acme.pk, "queue": queue, **row})
        failed = dispatch(pool)
        assert count(Settled) == 0
        assert (count(SettledRefused) > 0) <= failed
        assert used_us(globex) == sum(10**number for number in range(len(rows)))
        # A second tick finds no state left broken by the first.
        submit(globex)
        run_tick(pool.pk)
        transaction.set_rollback(True)
