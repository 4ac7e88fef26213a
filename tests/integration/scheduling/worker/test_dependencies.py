"""Dependencies of processors: their reports, and the effect of open breakers, with real commits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from scheduling.dispatch.tick import run_tick
from scheduling.execution import dependencies
from scheduling.kit.base import (
    Dependency,
    DependencyRefusedError,
    Interrupted,
    JobContext,
    PermanentError,
    TransientError,
)
from scheduling.models import Circuit, CircuitNews, Execution, Job, JobDue, JobEvent, JobHeld, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import in_flight, reload, submit
from tests.integration.scheduling.worker.conftest import Run, outcomes
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db(transaction=True)

API, STORE = "api.example.com", "store.example.com"
SHARED = Dependency("embeddings", is_shared=True)


def news() -> list[tuple[str, bool, str, float | None]]:
    """Return the reports about dependencies: name, whether shared, error, and requested cool-down."""
    with all_tenants():
        rows = CircuitNews.objects.exclude(dependency="").order_by("id")
        return list(rows.values_list("dependency", "is_shared", "error_type", "retry_after_seconds"))


def put_open(tenant: Tenant | None, name: str = API, **columns: Any) -> Circuit:
    values = {"state": "open", "until": Now() + timedelta(hours=1)} | columns
    with all_tenants():
        return Circuit.objects.create(
            tenant=tenant,
            kind="scripted",
            dependency=name,
            holds_all=False,
            failures=3,
            fingerprint="f",
            error_type="Timeout",
            error_message="no answer",
            counted_from=Now(),
            **values,
        )


def uses(*named: Dependency | str, error: Exception | None = None) -> Callable[[JobContext], None]:
    """Return a processor that enters these in turn, and fails within the last."""

    def process(context: JobContext) -> None:
        for one in named:
            with context.dependency(one):
                if error is not None and one == named[-1]:
                    raise error

    return process


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (OSError("reset"), [(API, False, "OSError", None)]),
        (TransientError("later", code="busy", retry_after_seconds=90.0), [(API, False, "busy", 90.0)]),
        # It has answered: a permanent error.
        (PermanentError("no such model"), []),
    ],
)
def test_error_within_a_block_counts_only_for_the_dependency(
    acme: Tenant, run: Run, set_processor: Callable[..., None], error: Exception, reported: list[object]
) -> None:
    set_processor(uses(API, error=error))
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert news() == reported
    with all_tenants():
        assert not CircuitNews.objects.filter(dependency="").exists()


def test_error_outside_of_a_block_counts_for_the_kind(
    acme: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        with context.dependency(API):
            pass
        raise LookupError("mine")

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    assert run(job).dependencies == [API]
    with all_tenants():
        assert list(CircuitNews.objects.values_list("dependency", "error_type")) == [("", "LookupError")]


def test_error_caught_by_the_processor_counts_for_the_dependency(
    acme: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        with suppress(OSError), context.dependency(SHARED):
            raise OSError("no answer")

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    assert news() == [("embeddings", True, "OSError", None)]


@pytest.mark.parametrize("whose", ["own", "shared"])
def test_job_that_meets_an_open_breaker_is_snoozed(
    acme: Tenant, run: Run, set_processor: Callable[..., None], whose: str
) -> None:
    put_open(acme if whose == "own" else None, SHARED.name)
    set_processor(uses(STORE, SHARED, error=AssertionError("never reached")))
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("available", 0, ["snoozed"])
    assert (job.dependencies, job.shared_dependencies) == ([STORE, SHARED.name], [SHARED.name])
    run_tick(WorkerPool.objects.get(name="default").pk)
    assert in_flight() == []
    with all_tenants():
        assert JobHeld.objects.get().gate.startswith("circuit ")
        assert Execution.objects.get().error_type == ""


def test_breaker_of_another_tenant_or_dependency_does_not_stop_the_job(
    acme: Tenant, globex: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    put_open(globex)
    put_open(None)  # of the same name, but shared: this job names its own
    put_open(acme, STORE)
    set_processor(uses(API))
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"


def test_probe_enters_the_dependency_and_reports_before_its_end(
    acme: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    (job,) = submit(acme, kind="scripted")
    put_open(acme, state="half_open", probe_job_id=job.pk, probe_tenant_id=acme.pk)
    reports: list[object] = []

    def process(context: JobContext) -> None:
        with context.dependency(API):
            reports.append(news())
        reports.append(news())

    set_processor(process)
    assert run(job).state == "completed"
    assert reports == [[], [(API, False, "", None)]]


def test_probe_within_a_transaction_reports_at_its_end(
    acme: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    (job,) = submit(acme, kind="scripted")
    put_open(acme, state="half_open", probe_job_id=job.pk, probe_tenant_id=acme.pk)

    def process(context: JobContext) -> None:
        with suppress(OSError), transaction.atomic(), context.dependency(API):
            raise OSError("no answer")
        assert news() == []

    set_processor(process)
    run(job)
    assert news() == [(API, False, "OSError", None)]


def test_repeated_calls_check_each_breaker_once(
    acme: Tenant, run: Run, set_processor: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = dependencies.check_breaker

    def note(**names: Any) -> Any:
        asked.append(names["name"])
        return ask(**names)

    monkeypatch.setattr(dependencies, "check_breaker", note)
    monkeypatch.setattr(dependencies, "ASK_SECONDS", 3_600.0)
    set_processor(uses(*[API] * 20, STORE, *[API] * 20))
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert asked == [API, STORE]


def test_remembered_dependencies_are_limited_and_include_the_last(
    acme: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    names = [f"host-{number}" for number in range(dependencies.MAX_REPORTS + 5)]
    put_open(acme, names[-1])
    set_processor(uses(*names))
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert job.dependencies == names[-dependencies.MAX_REPORTS :]
    run_tick(WorkerPool.objects.get(name="default").pk)
    with all_tenants():
        assert JobHeld.objects.exists()


def test_dependencies_of_the_last_attempt_replace_earlier_ones(
    acme: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    (job,) = submit(acme, kind="scripted")
    for name in (API, STORE):
        set_processor(uses(name, error=OSError("no answer")))
        job = run(job)
        with all_tenants():
            Job.objects.filter(pk=job.pk).update(max_retries=9)
        make_due()
    assert reload(job).dependencies == [STORE]


def refuse(times: int, job: Job, run: Run) -> Job:
    """Let the dependency refuse the job so often, each time as soon as it may retry."""
    for _ in range(times):
        job = run(job)
        make_due()
    return job


def test_permanently_refused_job_is_discarded(
    acme: Tenant, run: Run, set_processor: Callable[..., None], change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(CIRCUIT_FAILURES=0)
    set_processor(uses(API, error=DependencyRefusedError("moderated")))
    (job,) = submit(acme, kind="scripted")
    job = refuse(dependencies.MAX_REFUSALS - 1, job, run)
    assert (job.state, job.attempt, set(outcomes(job))) == ("scheduled", 0, {"snoozed"})
    job = refuse(1, job, run)
    assert (job.state, job.error_type) == ("discarded", "dependency_refused")
    assert job.error_message == f"{API} refused this job 10 times. Last response: moderated"
    # Its failure does not count against a dependency that others reach.
    assert news() == []
    with all_tenants():
        waits = JobEvent.objects.filter(job=job, name="execution.snoozed").count()
    assert waits == dependencies.MAX_REFUSALS - 1


def test_refused_probe_is_not_discarded(acme: Tenant, run: Run, set_processor: Callable[..., None]) -> None:
    set_processor(uses(API, error=DependencyRefusedError("key revoked")))
    (job,) = submit(acme, kind="scripted")
    for number in range(dependencies.MAX_REFUSALS + 1):
        with all_tenants():
            CircuitNews.objects.all().delete()
            Circuit.objects.all().delete()
        put_open(acme, state="half_open", probe_job_id=job.pk, probe_tenant_id=acme.pk)
        job = run(job)
        assert (job.state, job.attempt) == ("scheduled", 0)
        with all_tenants():
            wait = (JobDue.objects.get().due_at - timezone.now()).total_seconds()
        assert wait <= min(15 * 2**number, 900) + 1
        make_due()
    assert wait > 600


def make_due() -> None:
    with all_tenants():
        JobDue.objects.update(due_at=Now() - timedelta(hours=1))


@pytest.mark.parametrize("name", ["", "a\tb", "x" * 201])
def test_invalid_dependency_name_fails_the_attempt(
    acme: Tenant, run: Run, set_processor: Callable[..., None], name: str
) -> None:
    set_processor(uses(name))
    (job,) = submit(acme, kind="scripted")
    assert run(job).error_type == "ValueError"


def test_interruption_within_a_block_reports_nothing(
    acme: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        with context.dependency(API):
            raise Interrupted("shutdown")

    set_processor(process)
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("available", 0, ["shutdown"])
    assert news() == []
    with tenant_context(acme):
        assert Job.objects.get().dependencies == [API]
