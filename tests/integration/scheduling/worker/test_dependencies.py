"""What a processor says of its dependencies, and what it is told of them, with real commits."""

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
from tests.integration.scheduling.acts import in_flight, reload, submit
from tests.integration.scheduling.worker.conftest import Run, outcomes
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db(transaction=True)

API, STORE = "api.example.com", "store.example.com"
SHARED = Dependency("embeddings", is_shared=True)


def news() -> list[tuple[str, bool, str, float | None]]:
    """What is told of dependencies: which, whether all share it, the error, and for how long it wants to be left."""
    with all_tenants():
        told = CircuitNews.objects.exclude(dependency="").order_by("id")
        return list(told.values_list("dependency", "is_shared", "error_type", "retry_after_seconds"))


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
    """A processor that goes on to these in turn, and fails within the last."""

    def process(context: JobContext) -> None:
        for one in named:
            with context.dependency(one):
                if error is not None and one == named[-1]:
                    raise error

    return process


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("reset"), [(API, False, "OSError", None)]),
        (TransientError("later", code="busy", retry_after_seconds=90.0), [(API, False, "busy", 90.0)]),
        # It has answered: no time heals this.
        (PermanentError("no such model"), []),
    ],
)
def test_an_error_within_a_block_counts_against_the_dependency_alone(
    acme: Tenant, run: Run, follow: Callable[..., None], error: Exception, told: list[object]
) -> None:
    follow(uses(API, error=error))
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert news() == told
    with all_tenants():
        assert not CircuitNews.objects.filter(dependency="").exists()


def test_an_error_outside_of_it_is_the_kinds_own(acme: Tenant, run: Run, follow: Callable[..., None]) -> None:
    def process(context: JobContext) -> None:
        with context.dependency(API):
            pass
        raise LookupError("mine")

    follow(process)
    (job,) = submit(acme, kind="scripted")
    assert run(job).dependencies == [API]
    with all_tenants():
        assert list(CircuitNews.objects.values_list("dependency", "error_type")) == [("", "LookupError")]


def test_an_error_that_the_processor_catches_counts_all_the_same(
    acme: Tenant, run: Run, follow: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        with suppress(OSError), context.dependency(SHARED):
            raise OSError("no answer")

    follow(process)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"
    assert news() == [("embeddings", True, "OSError", None)]


@pytest.mark.parametrize("whose", ["own", "shared"])
def test_a_job_that_finds_its_breaker_open_is_snoozed(
    acme: Tenant, run: Run, follow: Callable[..., None], whose: str
) -> None:
    put_open(acme if whose == "own" else None, SHARED.name)
    follow(uses(STORE, SHARED, error=AssertionError("never reached")))
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("available", 0, ["snoozed"])
    assert (job.dependencies, job.shared_dependencies) == ([STORE, SHARED.name], [SHARED.name])
    run_tick(WorkerPool.objects.get(name="default").pk)
    assert in_flight() == []
    with all_tenants():
        assert JobHeld.objects.get().gate.startswith("circuit ")
        assert Execution.objects.get().error_type == ""


def test_nobody_is_stopped_by_anothers_breaker(
    acme: Tenant, globex: Tenant, run: Run, follow: Callable[..., None]
) -> None:
    put_open(globex)
    put_open(None)  # of the same name, and shared: this job names its own
    put_open(acme, STORE)
    follow(uses(API))
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "completed"


def test_the_job_that_tries_is_let_through_and_heard_before_it_ends(
    acme: Tenant, run: Run, follow: Callable[..., None]
) -> None:
    (job,) = submit(acme, kind="scripted")
    put_open(acme, state="half_open", probe_job_id=job.pk, probe_tenant_id=acme.pk)
    heard: list[object] = []

    def process(context: JobContext) -> None:
        with context.dependency(API):
            heard.append(news())
        heard.append(news())

    follow(process)
    assert run(job).state == "completed"
    assert heard == [[], [(API, False, "", None)]]


def test_within_a_transaction_of_its_own_it_is_heard_at_the_end(
    acme: Tenant, run: Run, follow: Callable[..., None]
) -> None:
    (job,) = submit(acme, kind="scripted")
    put_open(acme, state="half_open", probe_job_id=job.pk, probe_tenant_id=acme.pk)

    def process(context: JobContext) -> None:
        with suppress(OSError), transaction.atomic(), context.dependency(API):
            raise OSError("no answer")
        assert news() == []

    follow(process)
    run(job)
    assert news() == [(API, False, "OSError", None)]


def test_a_loop_of_quick_calls_asks_once(
    acme: Tenant, run: Run, follow: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = dependencies.ask_passage

    def note(**names: Any) -> Any:
        asked.append(names["name"])
        return ask(**names)

    monkeypatch.setattr(dependencies, "ask_passage", note)
    monkeypatch.setattr(dependencies, "ASK_SECONDS", 3_600.0)
    follow(uses(*[API] * 20, STORE, *[API] * 20))
    (job,) = submit(acme, kind="scripted")
    run(job)
    assert asked == [API, STORE]


def test_no_more_are_remembered_than_is_useful_and_the_last_is_among_them(
    acme: Tenant, run: Run, follow: Callable[..., None]
) -> None:
    names = [f"host-{number}" for number in range(dependencies.MAX_REPORTS + 5)]
    put_open(acme, names[-1])
    follow(uses(*names))
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert job.dependencies == names[-dependencies.MAX_REPORTS :]
    run_tick(WorkerPool.objects.get(name="default").pk)
    with all_tenants():
        assert JobHeld.objects.exists()


def test_what_it_needed_last_takes_the_place_of_what_it_needed_before(
    acme: Tenant, run: Run, follow: Callable[..., None]
) -> None:
    (job,) = submit(acme, kind="scripted")
    for name in (API, STORE):
        follow(uses(name, error=OSError("no answer")))
        job = run(job)
        with all_tenants():
            Job.objects.filter(pk=job.pk).update(max_retries=9)
        make_due()
    assert reload(job).dependencies == [STORE]


def refuse(times: int, job: Job, run: Run) -> Job:
    """Let the dependency refuse the job so often, each time as soon as it may try again."""
    for _ in range(times):
        job = run(job)
        make_due()
    return job


def test_a_job_that_is_always_refused_is_given_up_by_itself(
    acme: Tenant, run: Run, follow: Callable[..., None], change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(CIRCUIT_FAILURES=0)
    follow(uses(API, error=DependencyRefusedError("moderated")))
    (job,) = submit(acme, kind="scripted")
    job = refuse(dependencies.MAX_REFUSALS - 1, job, run)
    assert (job.state, job.attempt, set(outcomes(job))) == ("scheduled", 0, {"snoozed"})
    job = refuse(1, job, run)
    assert (job.state, job.error_type) == ("discarded", "dependency_refused")
    assert job.error_message == f"{API} refused this job 10 times. Its last answer: moderated"
    # Its end says nothing against what others get through to.
    assert news() == []
    with all_tenants():
        waits = JobEvent.objects.filter(job=job, name="execution.snoozed").count()
    assert waits == dependencies.MAX_REFUSALS - 1


def test_a_job_that_tries_for_all_is_not_given_up(acme: Tenant, run: Run, follow: Callable[..., None]) -> None:
    follow(uses(API, error=DependencyRefusedError("key revoked")))
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
def test_a_name_that_nobody_could_read_is_the_attempts_error(
    acme: Tenant, run: Run, follow: Callable[..., None], name: str
) -> None:
    follow(uses(name))
    (job,) = submit(acme, kind="scripted")
    assert run(job).error_type == "ValueError"


def test_an_interruption_within_a_block_says_nothing_of_the_dependency(
    acme: Tenant, run: Run, follow: Callable[..., None]
) -> None:
    def process(context: JobContext) -> None:
        with context.dependency(API):
            raise Interrupted("shutdown")

    follow(process)
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.attempt, outcomes(job)) == ("available", 0, ["shutdown"])
    assert news() == []
    with tenant_context(acme):
        assert Job.objects.get().dependencies == [API]
