"""Fair tasks within jobs: a call submits a child job, once over all attempts."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
from celery import shared_task
from django.utils import timezone

from scheduling.celery.fair_tasks import fair_task
from scheduling.kit import registry
from scheduling.models import Job, JobDue
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.worker.conftest import Run


@fair_task(kind="called")
@shared_task(name="fair_children.called")
def called(number: int) -> int:
    return number


@fair_task(kind="calling")
@shared_task(name="fair_children.calling", bind=True, max_retries=3)
def calling(self: Any, fails: int) -> None:
    called.apply_async((self.request.retries,), concurrency_key="account-7")
    if self.request.retries < fails:
        raise self.retry(countdown=0)


@pytest.fixture(autouse=True)
def installed(scripted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint(name, f"{__name__}:{name}", registry.ENTRY_POINT_GROUP) for name in ("called", "calling")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    registry.reset()


def test_call_inside_a_job_is_one_child_of_the_same_tenant(acme: Tenant, globex: Tenant, run: Run) -> None:
    (parent,) = submit(acme, kind="calling", payload={"fails": 1})
    assert run(parent).state == "retryable"
    with all_tenants():
        assert not Job.objects.filter(kind="called").exists()
        JobDue.objects.update(due_at=timezone.now())
    assert run(parent).state == "completed"
    with all_tenants():
        child = Job.objects.get(kind="called")
    assert (child.tenant_id, child.parent_id, child.payload) == (acme.pk, parent.pk, {"number": 1})
    assert child.concurrency_key == "account-7"
    assert run(child).result == {"value": 1}
    with tenant_context(globex):
        assert not Job.objects.exists()
