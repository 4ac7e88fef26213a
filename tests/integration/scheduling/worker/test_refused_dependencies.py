"""Refusing dependencies: one that refuses every request opens the tenant's breaker at once, and no attempt is used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db.models.functions import Now

from scheduling.dispatch.tick import run_tick
from scheduling.kit.base import Dependency, DependencyRefusedError, JobContext
from scheduling.models import Circuit, DeadLetter, Job, JobDue, WorkerPool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import reload, submit
from tests.integration.scheduling.worker.conftest import Run
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db(transaction=True)

SHARED = Dependency("llm", is_shared=True)


def refuse(context: JobContext) -> None:
    with context.dependency(SHARED):
        raise DependencyRefusedError("The model endpoint answered 401: wrong key.")


def succeed(context: JobContext) -> None:
    with context.dependency(SHARED):
        pass


def tick() -> None:
    run_tick(WorkerPool.objects.get(name="default").pk)


def breakers() -> list[tuple[str, str, str, str]]:
    with all_tenants():
        rows = Circuit.objects.select_related("tenant").order_by("tenant__slug")
        return [(row.tenant.slug if row.tenant else "", row.state, row.error_type, row.error_message) for row in rows]


def test_one_refusal_opens_the_tenants_breaker_and_the_job_waits(
    acme: Tenant, globex: Tenant, run: Run, set_processor: Callable[..., None]
) -> None:
    set_processor(refuse)
    (job,) = submit(acme, kind="scripted")
    job = run(job)
    assert (job.state, job.attempt) == ("scheduled", 0)
    tick()
    # The shared breaker only counts: another tenant's jobs are not held by this refusal.
    assert breakers()[0] == ("acme", "open", "dependency_refused", "The model endpoint answered 401: wrong key.")
    assert [state for slug, state, *_ in breakers() if not slug] == ["counting"]
    with all_tenants():
        JobDue.objects.update(due_at=Now())
    tick()
    tick()
    assert reload(job).state == "available"
    set_processor(succeed)
    (other,) = submit(globex, kind="scripted")
    assert run(other).state == "completed"

    # The key is valid again: after the cool-down one job probes, and the rest follows.
    with all_tenants():
        Circuit.objects.filter(tenant=acme).update(until=Now())
    tick()
    assert run(job).state == "completed"
    tick()
    assert not [slug for slug, *_ in breakers() if slug]
    with all_tenants():
        assert not DeadLetter.objects.exists()
        assert Job.objects.get(pk=job.pk).attempt == 0


def test_refused_job_backs_off_without_breakers(
    acme: Tenant, run: Run, set_processor: Callable[..., None], change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(CIRCUIT_FAILURES=0)
    set_processor(refuse)
    (job,) = submit(acme, kind="scripted")
    assert run(job).state == "scheduled"
    tick()
    tick()
    assert reload(job).state == "scheduled"
    assert [state for _, state, *_ in breakers() if state == "open"] == []
