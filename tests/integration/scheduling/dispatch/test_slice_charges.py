"""Slice charges: with time slices a dispatch is charged by slices, on the clocks and in the ledger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from scheduling.execution import settlement_builders
from scheduling.execution.costs import UNKNOWN
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import StartedExecution
from scheduling.fairness.nodes import virtual_service
from scheduling.fleet.workers import Registration
from scheduling.models import (
    CFSPlan,
    Charge,
    Execution,
    FairShareNode,
    Job,
    LiveExecution,
    Queue,
    QueueClock,
    Worker,
)
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Start, Tick, begin, submit

pytestmark = pytest.mark.django_db

SLICE = 120
SECOND_US = 1_000_000


@pytest.fixture(autouse=True)
def _ten_minutes_are_expected() -> Iterator[None]:
    """Predict ten minutes for jobs without history."""
    with all_tenants():
        Queue.objects.update(expected_seconds=600)
    yield
    assert faults_of("ledger") == []


def run_for(execution: StartedExecution, seconds: float) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scheduling_execution_live SET started_at = now() - make_interval(secs => %s) WHERE id = %s",
            [seconds, execution.execution_id],
        )


def live(job: Job) -> LiveExecution:
    with all_tenants():
        return LiveExecution.objects.get(job=job)


def charges(job: Job) -> list[tuple[str, int]]:
    """Return reason and seconds of each charge of the job, in order."""
    with all_tenants():
        rows = Charge.objects.filter(job=job).order_by("id").values_list("reason", "microseconds")
        return [(reason, round(microseconds / SECOND_US)) for reason, microseconds in rows]


def entity(tenant: Tenant, key: str = "") -> FairShareNode:
    with all_tenants():
        return FairShareNode.objects.get(tenant=tenant, fair_key=key)


def test_long_job_is_charged_one_slice_at_dispatch(acme: Tenant, tick: Tick, worker: Registration) -> None:
    (job,) = submit(acme)
    tick()
    assert (live(job).predicted_us, live(job).whole_us) == (SLICE * SECOND_US, 600 * SECOND_US)
    assert charges(job) == [("predicted", SLICE)]
    assert entity(acme).vruntime == virtual_service(SLICE * SECOND_US, entity(acme).weight_milli)
    # The estimate of its length is the prediction.
    assert entity(acme).estimate_us == 600 * SECOND_US


def test_short_job_is_charged_its_prediction(acme: Tenant, tick: Tick, worker: Registration) -> None:
    with all_tenants():
        Queue.objects.update(expected_seconds=SLICE)
    (job,) = submit(acme)
    tick()
    assert (live(job).predicted_us, live(job).whole_us) == (SLICE * SECOND_US, None)


def test_job_is_charged_whole_if_time_is_not_sliced(acme: Tenant, tick: Tick, worker: Registration) -> None:
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(strategy=CFSPlan.Strategy.NOP)
    (job,) = submit(acme)
    tick()
    assert live(job).whole_us is None
    assert charges(job) == [("predicted", 600)]


@pytest.mark.parametrize(
    ("ran", "expected"),
    [(SLICE - 1, []), (SLICE + 1, [SLICE]), (2 * SLICE - 1, [SLICE]), (3 * SLICE + 1, [3 * SLICE])],
)
def test_running_job_is_charged_the_slices_it_has_begun(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, ran: float, expected: list[int]
) -> None:
    (job,) = submit(acme)
    tick()
    run_for(begin(start, job), ran)
    tick()
    tick()
    assert charges(job) == [("predicted", SLICE), *[("slice", seconds) for seconds in expected]]
    whole = (SLICE + sum(expected)) * SECOND_US
    row = entity(acme)
    assert row.vruntime == virtual_service(whole, row.weight_milli)
    with all_tenants():
        clock = QueueClock.objects.get(queue_id=row.queue_id)
    # The queue's clock is at the start of the last slice, so a new tenant comes after what has run.
    assert clock.virtual_time == virtual_service(whole - SLICE * SECOND_US, row.weight_milli)


def test_fair_key_is_charged_with_its_tenant(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme, fair_key="ann")
    tick()
    run_for(begin(start, job), SLICE + 1)
    tick()
    assert entity(acme, "ann").vruntime == virtual_service(2 * SLICE * SECOND_US, 1_000)
    assert entity(acme).virtual_time == virtual_service(SLICE * SECOND_US, 1_000)
    assert entity(acme).vruntime == virtual_service(2 * SLICE * SECOND_US, entity(acme).weight_milli)


def test_returning_tenant_starts_at_the_charged_virtual_time(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    with all_tenants():
        # One queue for both tenants.
        CFSPlan.objects.get(is_active=True).tiers.update(queue=Queue.objects.get(name="tasks_team"))
    for job in submit(acme, 4):
        tick()
        begin(start, job)
    submit(globex)
    tick()
    assert entity(globex).vruntime == virtual_service(3 * SLICE * SECOND_US, entity(acme).weight_milli)


def test_new_tenant_does_not_wait_behind_unserved_virtual_time(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    """Let a job hold the one slot for five slices while globex waits; then a third tenant comes."""
    with all_tenants():
        CFSPlan.objects.get(is_active=True).tiers.update(queue=Queue.objects.get(name="tasks_team"))
        Worker.objects.update(slots=1)
    third = create_tenant(slug="third", plan="team")
    (job,) = submit(acme, fair_key="ann")
    tick()
    execution = begin(start, job)
    submit(globex)
    tick()
    run_for(execution, 5 * SLICE + 1)
    tick()
    submit(third)
    tick()
    assert entity(third).vruntime == entity(globex).vruntime == 0
    with all_tenants():
        assert QueueClock.objects.get(queue_id=entity(globex).queue_id).virtual_time == 0


@pytest.mark.parametrize("ran", [3, SLICE + 30])
def test_end_of_a_job_corrects_the_charge_and_trains_the_prediction(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, ran: int
) -> None:
    (job,) = submit(acme)
    tick()
    execution = begin(start, job)
    run_for(execution, ran)
    tick()
    new_settlement = Settlement.completed(execution.execution_id, execution.fence, None)
    new_settlement.bill(UNKNOWN, began_us=0, measured_us=ran * SECOND_US)
    assert settle([new_settlement])
    tick()
    with all_tenants():
        ended = Execution.objects.get(job=job)
    assert ended.predicted_us == 600 * SECOND_US
    assert entity(acme).vruntime == virtual_service(ended.measured_us, entity(acme).weight_milli)
    assert sum(seconds for _, seconds in charges(job)) == ran


def test_job_ending_while_it_is_charged_is_charged_once(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    execution = begin(start, job)
    run_for(execution, SLICE + 1)
    # Its end and the tick overlap: the settlement locks the row, and the charge uses the row's values.
    assert settle([settlement_builders.yielded(execution.execution_id, execution.fence, {"at": 1})])
    tick()
    assert [reason for reason, _ in charges(job)][:2] == ["predicted", "corrected"]
