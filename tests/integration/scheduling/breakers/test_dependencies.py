"""Dependency breakers: a failing dependency holds only the jobs that need it, and all of them return in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from scheduling.breakers.dependencies import check_breaker, report_probe_result
from scheduling.breakers.rules import CircuitState, DependencyReport
from scheduling.breakers.state import prune_circuits
from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement, settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.lifecycle import JobState
from scheduling.kit import registry
from scheduling.kit.base import Dependency
from scheduling.models import Circuit, CircuitNews, Job, JobDue, JobHeld
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tenants.tenancy.service import pause_tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, complete, in_flight, reasons_of, reload, submit
from tests.platform_settings import ChangePlatformSettings
from workloads.diagnostics.processor import NoopProcessor

pytestmark = pytest.mark.django_db

API, STORE = "api.example.com", "store.example.com"


@pytest.fixture(autouse=True)
def three_failures(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(CIRCUIT_FAILURES=3)


def down(name: str = API, *, is_shared: bool = False, retry_after: float | None = None) -> DependencyReport:
    return DependencyReport(name, is_shared, False, "f" * 16, "Timeout", "no answer", retry_after)


def up(name: str = API, *, is_shared: bool = False) -> DependencyReport:
    return DependencyReport(name, is_shared, is_up=True)


def fail_at(start: Start, job: Job, *reports: DependencyReport) -> None:
    """Start a dispatched job, and let its attempt fail at a dependency."""
    started = begin(start, job)
    failure = settlement_builders.Failure.of(OSError("no answer"), is_permanent=False)
    policy = settlement_builders.RetryPolicy(max_retries=3)
    settlement = settlement_builders.failed(
        started.execution_id, started.fence, failure, failed_attempts=1, policy=policy
    )
    assert settle([replace(settlement, dependencies=reports)])


def complete_with(start: Start, job: Job, *reports: DependencyReport) -> None:
    started = begin(start, job)
    assert settle([replace(Settlement.completed(started.execution_id, started.fence, None), dependencies=reports)])


def snooze(start: Start, job: Job, name: str = API, *, is_shared: bool = False) -> None:
    """Start a dispatched job that finds its dependency's breaker open, as the worker does."""
    started = begin(start, job)
    settlement = settlement_builders.snoozed(
        started.execution_id, started.fence, dependency=name, is_shared=is_shared, until=None, seconds=None
    )
    assert settle([replace(settlement, dependencies=(DependencyReport(name, is_shared),))])


def break_it(tenants: Sequence[Tenant], tick: Tick, start: Start, name: str = API, *, is_shared: bool = False) -> None:
    """Let three jobs fail at the dependency, of these tenants in turn, and run a tick."""
    for number in range(3):
        (job,) = submit(tenants[number % len(tenants)])
        tick()
        fail_at(start, job, down(name, is_shared=is_shared))
        with tenant_context(job.tenant_id):
            cancel_jobs(job_ids=[job.pk])
    tick()


def put_behind(job: Job, *names: str, shared: Sequence[str] = ()) -> None:
    """Store these dependencies as if an execution of the job had named them."""
    with all_tenants():
        Job.objects.filter(pk=job.pk).update(dependencies=[*names, *shared], shared_dependencies=list(shared))


def put_open(
    tenant: Tenant | None, name: str = API, *, state: str = "open", due: bool = False, holds_all: bool = False
) -> Circuit:
    with all_tenants():
        return Circuit.objects.create(
            tenant=tenant,
            kind="noop",
            dependency=name,
            holds_all=holds_all,
            state=state,
            failures=3,
            fingerprint="f",
            error_type="Timeout",
            error_message="no answer",
            counted_from=Now(),
            opened_at=Now(),
            until=Now() + timedelta(hours=-1 if due else 1),
        )


def cool_down() -> None:
    with all_tenants():
        Circuit.objects.update(until=Now() - timedelta(hours=1))


def states() -> dict[tuple[str, str], str]:
    """Return each breaker's state by tenant and dependency."""
    with all_tenants():
        return {
            (circuit.tenant.slug if circuit.tenant else "", circuit.dependency): circuit.state
            for circuit in Circuit.objects.select_related("tenant")
        }


def run_all(tick: Tick, start: Start, rounds: int = 40) -> list[Job]:
    """Tick and complete until nothing is dispatched; return what ran, in order."""
    ran: list[Job] = []
    for _ in range(rounds):
        tick()
        for job in in_flight():
            complete(start, job)
            ran.append(job)
    return ran


def test_open_dependency_holds_only_jobs_that_named_it(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    break_it([acme], tick, start)
    assert states() == {("acme", API): "open"}
    needs, needs_other, unknown = submit(acme, 3)
    (foreign,) = submit(globex)
    put_behind(needs, API)
    put_behind(needs_other, STORE)
    put_behind(foreign, API)
    assert {job.pk for job in run_all(tick, start)} == {needs_other.pk, unknown.pk, foreign.pk}
    with all_tenants():
        assert JobHeld.objects.get().gate == f"circuit {Circuit.objects.get().pk}"


def test_job_meeting_an_open_breaker_uses_no_attempt_and_is_held(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    break_it([acme], tick, start)
    (job,) = submit(acme)
    tick()
    snooze(start, job)
    assert tick().dispatched == 0
    job = reload(job)
    assert (job.state, job.attempt, job.crash_count, job.dependencies) == (JobState.AVAILABLE, 0, 0, [API])
    with tenant_context(acme):
        (reason,) = reasons_of(job)
    assert reason.code == "circuit_open"
    assert API in reason.detail
    assert "Timeout" in reason.detail
    assert reason.until is not None
    with all_tenants():
        event = job.jobevents.get(name="execution.snoozed")
        assert event.data == {"dependency": API, "is_shared": False, "until": None}


def test_retry_after_a_dependency_failure_waits_at_the_breaker(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    for _ in range(3):
        (job,) = submit(acme)
        tick()
        fail_at(start, job, down())
    tick()
    with all_tenants():
        JobDue.objects.update(due_at=Now() - timedelta(hours=1))
    for _ in range(3):
        assert tick().dispatched == 0
    with all_tenants():
        assert JobHeld.objects.count() == 3
        assert set(Job.objects.values_list("attempt", flat=True)) == {1}


def test_dependency_error_does_not_count_for_the_kinds_breaker(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    break_it([acme], tick, start)
    assert states() == {("acme", API): "open"}


def test_success_of_one_dependency_resets_only_its_own_count(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    for reports in ((down(),), (down(),), (up(), down(STORE)), (down(),), (down(),)):
        (job,) = submit(acme)
        tick()
        fail_at(start, job, *reports)
        tick()
    with all_tenants():
        counted = dict(Circuit.objects.values_list("dependency", "failures"))
    assert counted == {API: 2, STORE: 1}


def test_success_without_earlier_failures_stores_no_news(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    (job,) = submit(acme)
    tick()
    complete_with(start, job, up(), up(STORE, is_shared=True))
    with all_tenants():
        assert not CircuitNews.objects.exists()


def test_declared_dependency_holds_every_job_of_the_kind(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NoopProcessor, "dependencies", (Dependency(API),))
    registry.reset()
    try:
        break_it([acme], tick, start)
        submit(acme, 2)
        for _ in range(3):
            assert tick().dispatched == 0
        with all_tenants():
            assert JobHeld.objects.count() == 2
    finally:
        registry.reset()


def test_shared_dependency_holds_all_tenants_once_several_failed(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    break_it([acme, globex], tick, start, is_shared=True)
    assert states() == {("acme", API): "counting", ("globex", API): "counting", ("", API): "open"}
    (job,) = submit(globex)
    put_behind(job, shared=[API])
    assert tick().dispatched == 0
    with tenant_context(globex):
        (reason,) = reasons_of(job)
    assert API in reason.detail
    assert "Timeout" not in reason.detail  # the error of another tenant is hidden


def test_shared_dependency_failing_for_one_tenant_stops_no_other(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    for _ in range(3):
        break_it([acme], tick, start, is_shared=True)
    assert states() == {("acme", API): "open", ("", API): "counting"}
    (job,) = submit(globex)
    put_behind(job, shared=[API])
    tick()
    assert [running.pk for running in in_flight()] == [job.pk]


def test_own_dependency_on_the_same_host_is_not_the_shared_one(acme: Tenant, tick: Tick, worker: Registration) -> None:
    put_open(None)
    (job,) = submit(acme)
    put_behind(job, API)
    tick()
    assert [running.pk for running in in_flight()] == [job.pk]


def test_one_probe_runs_and_the_rest_follow(acme: Tenant, tick: Tick, worker: Registration, start: Start) -> None:
    put_open(acme)
    jobs = submit(acme, 4)
    for job in jobs:
        put_behind(job, API)
    tick()
    cool_down()
    tick()
    assert tick().dispatched == 0
    assert [job.pk for job in in_flight()] == [jobs[0].pk]
    complete_with(start, jobs[0], up())
    tick()
    assert {job.pk for job in in_flight()} == {job.pk for job in jobs[1:]}
    assert states() == {}


def test_failed_probe_may_request_a_longer_cool_down(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    put_open(acme)
    (job,) = submit(acme)
    put_behind(job, API)
    tick()
    cool_down()
    tick()
    fail_at(start, job, down(retry_after=600.0))
    tick()
    with all_tenants():
        circuit = Circuit.objects.get()
        assert circuit.state == CircuitState.OPEN
        assert circuit.opened_at is not None
        assert circuit.until is not None
        # The breaker uses the time of the settlement, which in a test's one transaction is later than the tick's.
        assert timedelta(seconds=590) < circuit.until - circuit.opened_at < timedelta(seconds=660)


def test_probe_result_is_applied_before_its_job_ends(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    put_open(acme)
    jobs = submit(acme, 2)
    for job in jobs:
        put_behind(job, API)
    tick()
    cool_down()
    tick()
    begin(start, jobs[0])
    asked = {"tenant_id": acme.pk, "kind": "noop", "name": API, "is_shared": False}
    assert check_breaker(job_id=jobs[0].pk, **asked).is_probe
    assert check_breaker(job_id=jobs[1].pk, **asked).is_barred
    report_probe_result(tenant_id=acme.pk, kind="noop", job_id=jobs[0].pk, report=up())
    tick()
    tick()
    assert {job.pk for job in in_flight()} == {job.pk for job in jobs}
    assert check_breaker(job_id=jobs[1].pk, **asked) == check_breaker(job_id=jobs[0].pk, **asked)
    assert not check_breaker(job_id=jobs[1].pk, **asked).is_barred


def test_probe_that_no_longer_needs_the_dependency_closes_the_breaker(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    """Cover a tenant that has moved to another endpoint."""
    put_open(acme)
    jobs = submit(acme, 3)
    for job in jobs:
        put_behind(job, API)
    tick()
    cool_down()
    tick()
    complete_with(start, jobs[0], up(STORE))
    assert {job.pk for job in run_all(tick, start)} == {job.pk for job in jobs[1:]}
    assert states() == {}


def test_probes_of_a_shared_dependency_alternate_between_tenants(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    """Alternate, or older jobs that fail for another reason would hold back all others for ever."""
    put_open(None)
    poison, (good,) = submit(acme, 5), submit(globex)
    for job in (*poison, good):
        put_behind(job, shared=[API])
    tick()
    tried = []
    for _ in range(2):
        cool_down()
        tick()
        (probe,) = in_flight()
        tried.append(probe.tenant_id)
        fail_at(start, probe, down(is_shared=True))
        with tenant_context(probe.tenant_id):
            cancel_jobs(job_ids=[probe.pk])
        tick()
    assert set(tried) == {acme.pk, globex.pk}


def test_probe_that_cannot_start_is_replaced_by_another_tenants(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration
) -> None:
    put_open(None)
    for tenant in sorted((acme, globex), key=lambda tenant: tenant.pk):
        put_behind(submit(tenant)[0], shared=[API])
    tick()
    first = min((acme, globex), key=lambda tenant: tenant.pk)
    pause_tenant(tenant=first, reason="x")
    cool_down()
    tick()
    assert in_flight() == []
    assert tick().dispatched == 0  # it has a time limit to be dispatched
    cool_down()
    tick()
    tick()
    assert [job.tenant_id for job in in_flight()] == [({acme.pk, globex.pk} - {first.pk}).pop()]


@pytest.mark.parametrize("is_crossed", [False, True])
@pytest.mark.parametrize("owner", ["acme", "shared", "mixed"])
def test_jobs_that_need_two_failed_dependencies_do_not_deadlock(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, owner: str, is_crossed: bool
) -> None:
    owners = {"acme": (acme, acme), "shared": (None, None), "mixed": (acme, None)}[owner]
    circuits = [put_open(whose, name) for whose, name in zip(owners, (API, STORE), strict=True)]
    jobs = submit(acme, 6)
    for job in jobs:
        put_behind(job, shared=[API, STORE])
    tick()
    if is_crossed:
        with all_tenants():
            for number, job in enumerate(jobs):
                JobHeld.objects.filter(job_id=job.pk).update(gate=f"circuit {circuits[number % 2].pk}")
    cool_down()
    assert {job.pk for job in run_all(tick, start)} == {job.pk for job in jobs}
    prune_circuits()
    assert states() == {}


def test_job_that_needs_two_waits_behind_the_later_breaker(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    soon, late = put_open(acme), put_open(acme, STORE)
    with all_tenants():
        Circuit.objects.filter(pk=late.pk).update(until=Now() + timedelta(hours=2))
    both, one = submit(acme, 2)
    put_behind(both, API, STORE)
    put_behind(one, API)
    tick()
    with all_tenants():
        gates = dict(JobHeld.objects.values_list("job_id", "gate"))
    assert gates == {both.pk: f"circuit {late.pk}", one.pk: f"circuit {soon.pk}"}
    with all_tenants():
        Circuit.objects.filter(pk=soon.pk).update(until=Now() - timedelta(hours=1))
    tick()
    assert [job.pk for job in in_flight()] == [one.pk]


def test_breaker_opening_is_audited_with_its_dependency(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    break_it([acme, globex], tick, start, is_shared=True)
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="circuit.opened")
        assert entry.tenant_id is None
        assert entry.after is not None
        assert (entry.after["dependency"], entry.after["is_shared"]) == (API, True)


@pytest.mark.parametrize(("is_own_timeout", "states"), [(True, ["open"]), (False, ["open", "shared: open"])])
def test_job_shortened_timeout_counts_only_for_the_own_breaker(
    acme: Tenant, globex: Tenant, tick: Tick, start: Start, is_own_timeout: bool, states: list[str]
) -> None:
    report = replace(down(is_shared=True), is_own_timeout=is_own_timeout)
    for number in range(6):
        (job,) = submit((acme, globex)[number % 2])
        tick()
        fail_at(start, job, report)
        with tenant_context(job.tenant_id):
            cancel_jobs(job_ids=[job.pk])
    tick()
    with all_tenants():
        found = {
            f"{'shared: ' if circuit.tenant_id is None else ''}{circuit.state}"
            for circuit in Circuit.objects.filter(dependency=API)
        }
    assert sorted(found) == states


@pytest.mark.parametrize("is_own_timeout", [True, False])
def test_probe_ending_by_its_own_timeout_reports_nothing_shared(acme: Tenant, is_own_timeout: bool) -> None:
    (job,) = submit(acme)
    report = replace(down(is_shared=True), is_own_timeout=is_own_timeout)
    report_probe_result(tenant_id=acme.pk, kind="noop", job_id=job.pk, report=report)
    with all_tenants():
        assert CircuitNews.objects.get().is_shared is not is_own_timeout
