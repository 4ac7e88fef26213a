"""Under time slices a hand-out is charged by slices: on the clocks, in the ledger, and to nobody's favour."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from scheduling.execution import verdicts
from scheduling.execution.settlement import settle
from scheduling.execution.start import StartedExecution
from scheduling.fairness.lines import virtual_service
from scheduling.fleet.workers import Registration
from scheduling.models import (
    CFSPlan,
    Charge,
    Execution,
    Job,
    LiveExecution,
    Queue,
    QueueClock,
    SchedulingEntity,
    Worker,
)
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant
from tests.checks import faults_of
from tests.integration.scheduling.acts import Start, Tick, begin, submit

pytestmark = pytest.mark.django_db

SLICE = 120
SECOND_US = 1_000_000


@pytest.fixture(autouse=True)
def _ten_minutes_are_expected() -> Iterator[None]:
    """Jobs of nobody seen before are predicted to take ten minutes."""
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
    """Reason and seconds of each charge of the job, in order."""
    with all_tenants():
        rows = Charge.objects.filter(job=job).order_by("id").values_list("reason", "microseconds")
        return [(reason, round(microseconds / SECOND_US)) for reason, microseconds in rows]


def entity(tenant: Tenant, key: str = "") -> SchedulingEntity:
    with all_tenants():
        return SchedulingEntity.objects.get(tenant=tenant, fair_key=key)


def test_a_long_job_is_charged_one_slice_when_it_is_handed_out(acme: Tenant, tick: Tick, worker: Registration) -> None:
    (job,) = submit(acme)
    tick()
    assert (live(job).predicted_us, live(job).whole_us) == (SLICE * SECOND_US, 600 * SECOND_US)
    assert charges(job) == [("predicted", SLICE)]
    assert entity(acme).vruntime == virtual_service(SLICE * SECOND_US, entity(acme).weight_milli)
    # What is told of its length is what is predicted.
    assert entity(acme).estimate_us == 600 * SECOND_US


def test_a_short_job_is_charged_as_it_is_predicted(acme: Tenant, tick: Tick, worker: Registration) -> None:
    with all_tenants():
        Queue.objects.update(expected_seconds=SLICE)
    (job,) = submit(acme)
    tick()
    assert (live(job).predicted_us, live(job).whole_us) == (SLICE * SECOND_US, None)


def test_where_no_time_is_sliced_all_is_charged_at_once(acme: Tenant, tick: Tick, worker: Registration) -> None:
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
def test_one_that_goes_on_is_charged_as_many_slices_as_it_has_begun(
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
    # The queue's clock stands where the last slice began, so whoever comes now comes after what has run.
    assert clock.virtual_time == virtual_service(whole - SLICE * SECOND_US, row.weight_milli)


def test_a_key_is_charged_with_its_tenant(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    (job,) = submit(acme, fair_key="ann")
    tick()
    run_for(begin(start, job), SLICE + 1)
    tick()
    assert entity(acme, "ann").vruntime == virtual_service(2 * SLICE * SECOND_US, 1_000)
    assert entity(acme).virtual_time == virtual_service(SLICE * SECOND_US, 1_000)
    assert entity(acme).vruntime == virtual_service(2 * SLICE * SECOND_US, entity(acme).weight_milli)


def test_who_comes_back_while_long_jobs_run_starts_where_they_are_and_not_where_they_were_predicted_to_end(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    with all_tenants():
        # One queue for both.
        CFSPlan.objects.get(is_active=True).tiers.update(queue=Queue.objects.get(name="workflow_team"))
    for job in submit(acme, 4):
        tick()
        begin(start, job)
    submit(globex)
    tick()
    assert entity(globex).vruntime == virtual_service(3 * SLICE * SECOND_US, entity(acme).weight_milli)


def test_who_comes_does_not_stand_behind_service_that_one_who_waits_has_not_had(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    """A job that does not give way holds the one slot for five slices while globex waits; then a third comes."""
    with all_tenants():
        CFSPlan.objects.get(is_active=True).tiers.update(queue=Queue.objects.get(name="workflow_team"))
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
def test_its_end_corrects_what_it_was_charged_and_teaches_what_was_predicted(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, ran: int
) -> None:
    (job,) = submit(acme)
    tick()
    execution = begin(start, job)
    run_for(execution, ran)
    tick()
    verdict = verdicts.completed(execution.execution_id, execution.fence, None)
    verdict.bill(peak_memory_kib=None, began_us=0, measured_us=ran * SECOND_US)
    assert settle([verdict])
    tick()
    with all_tenants():
        ended = Execution.objects.get(job=job)
    assert ended.predicted_us == 600 * SECOND_US
    assert entity(acme).vruntime == virtual_service(ended.measured_us, entity(acme).weight_milli)
    assert sum(seconds for _, seconds in charges(job)) == ran


def test_one_that_is_asked_twice_at_once_is_charged_once(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    execution = begin(start, job)
    run_for(execution, SLICE + 1)
    # Its end and the tick meet: the settlement has the row, and the charge goes by what the row had.
    assert settle([verdicts.yielded(execution.execution_id, execution.fence, {"at": 1})])
    tick()
    assert [reason for reason, _ in charges(job)][:2] == ["predicted", "corrected"]
