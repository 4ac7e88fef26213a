"""The ledger's check: exact for every ending and rate of a job, and it finds an error of one microsecond."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduling.execution import settlement_builders
from scheduling.execution.costs import UNKNOWN
from scheduling.execution.settlement import Settlement, settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.limits.declared import WORKER_SECONDS
from scheduling.models import Charge, Execution, Job, KindCost, LiveExecution, Queue, TenantKindCost, Worker, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant, TenantUsage
from tests.checks import faults_of
from tests.examples import scaled
from tests.integration.scheduling.job_helpers import Start, Tick, age, begin, complete, submit

pytestmark = pytest.mark.django_db

type Verdict = Callable[[object, int], Settlement]
FAILURE = settlement_builders.Failure("ValueError", "no", "")
RETRIES = settlement_builders.RetryPolicy(max_retries=3)
ENDINGS: dict[str, Verdict] = {
    "completed": lambda id_, fence: Settlement.completed(id_, fence, None),
    "failed": lambda id_, fence: settlement_builders.failed(id_, fence, FAILURE, failed_attempts=1, policy=RETRIES),
    "timed_out": lambda id_, fence: settlement_builders.failed(
        id_, fence, FAILURE, failed_attempts=1, policy=RETRIES, outcome=settlement_builders.Outcome.TIMED_OUT
    ),
    "yielded": lambda id_, fence: settlement_builders.yielded(id_, fence, {"at": 1}),
    "put_off": lambda id_, fence: settlement_builders.put_off(id_, fence, {"at": 1}, seconds=60),
    "suspended": lambda id_, fence: settlement_builders.suspended(id_, fence, {"at": 1}, seconds=None),
    "shutdown": settlement_builders.shut_down,
    "cancelled": settlement_builders.cancelled,
    "expired": settlement_builders.expired,
    "crashed": lambda id_, fence: settlement_builders.crashed(
        id_, fence, crash_count=0, was_alone=True, cause="killed", is_lost=False
    ),
    "lost": lambda id_, fence: settlement_builders.crashed(
        id_, fence, crash_count=0, was_alone=True, cause="silent", is_lost=True
    ),
}


def charged_us(job: Job) -> int:
    """Return the sum of the job's charges."""
    with all_tenants():
        return sum(Charge.objects.filter(job=job).values_list("microseconds", flat=True))


@pytest.mark.parametrize("ending", ENDINGS)
def test_each_ending_replaces_the_prediction_by_the_measured_time(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, ending: str
) -> None:
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_execution_live SET started_at = started_at - interval '1 hour'")
    (settled,) = settle([ENDINGS[ending](started.execution_id, started.fence)])
    with all_tenants():
        charges = list(Charge.objects.values_list("microseconds", flat=True))
        measured = Execution.objects.get().measured_us
    assert len(charges) == 2
    # A lost execution is measured up to its worker's last heartbeat, some moments ago.
    assert sum(charges) == measured == settled.measured_us >= 3_000_000_000
    assert faults_of("ledger") == []
    # A job that waits again is dispatched again, with a new charge.
    tick()
    assert faults_of("ledger") == []


@settings(max_examples=scaled(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    expected_us=st.integers(1, 500_000_000),
    ran_seconds=st.integers(0, 700),
    measured_us=st.integers(0, 700_000_000),
    rates=st.tuples(st.integers(1, 1000), st.integers(1, 1000)),
)
def test_charges_add_up_to_the_measured_time_at_the_rate_of_the_dispatch(
    acme: Tenant,
    tick: Tick,
    worker: Registration,
    start: Start,
    expected_us: int,
    ran_seconds: int,
    measured_us: int,
    rates: tuple[int, int],
) -> None:
    """Charge a prediction, time slices and a correction, each rounded down; the rate is edited meanwhile."""
    with all_tenants():
        KindCost.objects.all().delete()
        TenantKindCost.objects.all().delete()
        Queue.objects.update(expected_seconds=expected_us / 1_000_000)
        WorkerPool.objects.update(rate_milli=rates[0])
    age(Worker, heartbeat_at=0)
    (job,) = submit(acme)
    tick()
    with all_tenants():
        WorkerPool.objects.update(rate_milli=rates[1])
    started = begin(start, job)
    age(LiveExecution, started_at=ran_seconds)
    tick()
    assert faults_of("ledger") == []
    with all_tenants():
        predicted_us = LiveExecution.objects.get(job=job).predicted_us
        assert charged_us(job) == predicted_us * rates[0] // 1000
    ending = Settlement.completed(started.execution_id, started.fence, None)
    ending.bill(UNKNOWN, began_us=0, measured_us=measured_us)
    # A longer time than the kind's limit and a lease is cut.
    (settled,) = settle([ending])
    assert charged_us(job) == settled.measured_us * rates[0] // 1000
    tick()
    with all_tenants():
        worker_us = sum(TenantUsage.objects.filter(key=WORKER_SECONDS.key).values_list("amount", flat=True))
        assert worker_us == sum(Charge.objects.values_list("microseconds", flat=True))
    assert faults_of("ledger", "usage") == []


def test_charge_rounded_to_the_nearest_microsecond_is_found(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    with all_tenants():
        WorkerPool.objects.update(rate_milli=500)
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    ending = Settlement.completed(started.execution_id, started.fence, None)
    ending.bill(UNKNOWN, began_us=0, measured_us=3)
    settle([ending])
    assert (charged_us(job), faults_of("ledger", "usage")) == (1, [])
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_charge SET microseconds = microseconds + 1 WHERE reason = 'corrected'")
    assert {fault.code for fault in faults_of("ledger", "usage")} == {"ledger", "execution_charge"}


@pytest.mark.parametrize("act", ["cancelled", "unpublished"])
def test_execution_that_never_started_is_not_charged(acme: Tenant, tick: Tick, worker: Registration, act: str) -> None:
    (job,) = submit(acme)
    tick()
    with all_tenants():
        live = LiveExecution.objects.get()
    if act == "cancelled":
        with tenant_context(acme):
            cancel_jobs(job_ids=[job.pk])
    else:
        settle([settlement_builders.unpublished(live.id, live.fence)])
    with all_tenants():
        assert sum(Charge.objects.values_list("microseconds", flat=True)) == 0
        assert Execution.objects.get().outcome == act
    assert faults_of("ledger") == []


@pytest.mark.parametrize(
    "wrong",
    [
        "DELETE FROM scheduling_charge WHERE ctid IN (SELECT ctid FROM scheduling_charge WHERE tenant_id = %s LIMIT 1)",
        "UPDATE scheduling_charge SET microseconds = microseconds + 1 WHERE tenant_id = %s",
        "UPDATE scheduling_execution SET measured_us = measured_us - 1 WHERE tenant_id = %s",
        "UPDATE scheduling_execution SET rate_milli = 0 WHERE tenant_id = %s",
        "UPDATE scheduling_execution_live SET rate_milli = 999 WHERE tenant_id = %s",
        "DELETE FROM scheduling_execution WHERE tenant_id = %s",
        "UPDATE scheduling_execution_live SET predicted_us = predicted_us + 1 WHERE tenant_id = %s",
        "DELETE FROM scheduling_execution_live WHERE tenant_id = %s",
    ],
)
def test_planted_ledger_fault_is_found_with_its_tenant(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start, wrong: str
) -> None:
    """Plant the fault as the owner of the tables, which are append-only for the platform."""
    for tenant in (acme, globex):
        done, _ = submit(tenant, 2)
        tick()
        complete(start, done)
    assert faults_of("ledger") == []
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(wrong, [acme.pk])
        assert cursor.rowcount > 0
    assert [fault.tenant_id for fault in faults_of("ledger")] == [acme.pk]
