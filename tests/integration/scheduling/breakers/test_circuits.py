"""Breakers: consecutive failures hold back jobs of that kind only; one probe runs, then the rest follow in order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models.functions import Now

from scheduling import signals
from scheduling.breakers.service import reset_circuit
from scheduling.execution import settlement_builders
from scheduling.execution.settlement import settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.lifecycle import JobState
from scheduling.kit.retry import RetryPolicy
from scheduling.models import Circuit, CircuitNews, FairShareNode, Job, JobDue, JobHeld, QueueClock
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, fail, in_flight, reload, submit
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def three_failures(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(CIRCUIT_FAILURES=3)


def circuit() -> Circuit | None:
    with all_tenants():
        return Circuit.objects.first()


def break_it(tenant: Tenant, tick: Tick, start: Start, kind: str = "noop") -> None:
    """Let three jobs of the kind fail, and run a tick that reads the failures."""
    for _ in range(3):
        (job,) = submit(tenant, 1, kind)
        tick()
        fail(start, job)
    tick()
    found = circuit()
    assert found is not None
    assert found.state == "open"


def cool_down() -> None:
    with all_tenants():
        Circuit.objects.update(until=Now() - timedelta(hours=1))


def run_all(tick: Tick, start: Start) -> list[Job]:
    """Tick and complete until nothing is dispatched; return what ran, in order."""
    ran = []
    for _ in range(30):
        tick()
        for job in in_flight():
            complete(start, job)
            ran.append(job)
    return ran


def test_open_breaker_holds_its_jobs_and_no_others(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    break_it(acme, tick, start)
    blocked = submit(acme, 3)
    other_kind, other_tenant = submit(acme, 1, "sleep", payload={"seconds": 0}), submit(globex, 1)
    assert {job.pk for job in run_all(tick, start)} == {other_kind[0].pk, other_tenant[0].pk}
    assert [reload(job).state for job in blocked] == [JobState.AVAILABLE] * 3
    with all_tenants():
        assert set(JobHeld.objects.values_list("gate", flat=True)) == {f"circuit {Circuit.objects.get().pk}"}


def test_half_open_breaker_runs_one_probe_then_the_rest_in_order(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    break_it(acme, tick, start)
    blocked = submit(acme, 5)
    tick()
    cool_down()
    tick()
    assert [job.pk for job in in_flight()] == [blocked[0].pk]
    assert tick().dispatched == 0
    complete(start, blocked[0])
    tick()
    assert {job.pk for job in in_flight()} == {job.pk for job in blocked[1:5]}
    assert circuit() is None


def test_failed_probe_opens_the_breaker_again(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    break_it(acme, tick, start)
    blocked = submit(acme, 2)
    tick()
    cool_down()
    tick()
    fail(start, blocked[0])
    assert tick().dispatched == 0
    found = circuit()
    assert found is not None
    assert (found.state, found.probe_job_id) == ("open", None)


def test_cancelled_probe_is_replaced_by_the_next_job(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    break_it(acme, tick, start)
    first, second = submit(acme, 2)
    tick()
    with tenant_context(acme):
        cancel_jobs(job_ids=[first.pk])
    cool_down()
    tick()
    assert [job.pk for job in in_flight()] == [second.pk]


def test_job_submitted_after_the_cool_down_is_the_probe(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    break_it(acme, tick, start)
    cool_down()
    tick()
    newcomers = submit(acme, 3)
    tick()
    tick()
    assert [job.pk for job in in_flight()] == [newcomers[0].pk]


def test_success_in_between_resets_the_count(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    for act in (fail, fail, complete, fail, fail):
        (job,) = submit(acme)
        tick()
        act(start, job)
    tick()
    found = circuit()
    assert found is not None
    assert (found.state, found.failures) == ("counting", 2)


def test_success_before_the_next_tick_resets_the_count(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    failing, working = submit(acme, 2)
    tick()
    fail(start, failing)
    complete(start, working)
    with all_tenants():
        assert list(CircuitNews.objects.order_by("id").values_list("job_id", flat=True)) == [failing.pk, working.pk]
    tick()
    assert circuit() is None


def test_permanent_errors_do_not_open_the_breaker(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    for _ in range(4):
        (job,) = submit(acme)
        tick()
        fail(start, job, is_permanent=True)
    tick()
    assert circuit() is None


def test_kinds_without_breaker_and_disabled_breakers_do_not_open(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(CIRCUIT_FAILURES=0)
    change_platform_settings(DIAGNOSTIC_KINDS=True)
    for kind in ("noop", "fail"):
        for _ in range(4):
            (job,) = submit(acme, 1, kind)
            tick()
            fail(start, job)
    tick()
    with all_tenants():
        assert set(Circuit.objects.values_list("kind", "state")) == {("noop", "counting")}


def test_crashes_count_as_failures(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    for _ in range(3):
        (job,) = submit(acme)
        tick()
        started = begin(start, job)
        crash = settlement_builders.crashed(
            started.execution_id, started.fence, crash_count=0, was_alone=True, cause="killed", is_lost=False
        )
        settle([crash])
        with tenant_context(acme):
            cancel_jobs(job_ids=[job.pk])
    tick()
    found = circuit()
    assert found is not None
    assert (found.state, found.error_type) == ("open", "worker_lost")


def test_jobs_that_opened_the_breaker_use_no_more_attempts(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    """Hold jobs that back off at the breaker once they are available again."""
    break_it(acme, tick, start)
    with all_tenants():
        JobDue.objects.update(due_at=Now() - timedelta(hours=1))
    for _ in range(3):
        assert tick().dispatched == 0
    with all_tenants():
        assert JobHeld.objects.count() == 3
        assert list(Job.objects.values_list("attempt", flat=True)) == [1, 1, 1]


def test_breaker_is_reset_by_a_person(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    break_it(acme, tick, start)
    blocked = submit(acme, 3)
    tick()
    with tenant_context(acme):
        reset_circuit(kind="noop", tenant_id=acme.pk, reason="the API is back")
    assert {job.pk for job in run_all(tick, start)} == {job.pk for job in blocked}
    assert circuit() is None
    with all_tenants():
        actions = list(AuditLogEntry.objects.filter(action__startswith="circuit.").order_by("id").values_list("action"))
    assert actions == [("circuit.opened",), ("circuit.reset",)]


def test_breaker_is_reset_by_a_command(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    break_it(acme, tick, start)
    call_command("reset_circuit", "acme", "noop", reason="x")
    tick()
    assert circuit() is None


def test_breaker_opening_sends_a_signal(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, django_capture_on_commit_callbacks: Any
) -> None:
    openings: list[tuple[str, bool]] = []

    def note(sender: object, *, kind: str, is_again: bool, **_: object) -> None:
        openings.append((kind, is_again))

    signals.circuit_opened.connect(note)
    with django_capture_on_commit_callbacks(execute=True):
        break_it(acme, tick, start)
    assert openings == [("noop", False)]


def test_tenant_returning_from_a_breaker_has_no_credit(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    """Let acme's virtual time stand still at its breaker; it returns at its queue's time."""
    break_it(acme, tick, start)
    submit(acme, 2)
    assert tick().has_more
    tick()
    with all_tenants():
        entity = FairShareNode.objects.get()
        assert not entity.is_runnable
        QueueClock.objects.filter(queue=entity.queue_id).update(virtual_time=entity.vruntime + 5_000_000_000)
    with tenant_context(acme):
        reset_circuit(kind="noop", tenant_id=acme.pk)
    tick()
    with all_tenants():
        assert FairShareNode.objects.get().vruntime >= entity.vruntime + 5_000_000_000


def test_settlement_of_many_jobs_counts_each(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    """Settle as a merged message settles its members."""
    jobs = submit(acme, 3)
    tick()
    settlements = []
    for job in jobs:
        started = begin(start, job)
        failure = settlement_builders.Failure.of(ValueError("no"), is_permanent=False)
        settlements.append(
            settlement_builders.failed(
                started.execution_id, started.fence, failure, failed_attempts=1, policy=RetryPolicy(max_retries=3)
            )
        )
    settle(settlements)
    tick()
    found = circuit()
    assert found is not None
    assert (found.state, found.failures) == ("open", 3)
