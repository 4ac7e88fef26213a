"""A payment service, batches of charges, and what dispatchers do until nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scheduling.compensation.duty import compensate
from scheduling.jobs.batches.completion import MemberCompensation
from scheduling.jobs.batches.folding import fold_batches
from scheduling.jobs.batches.service import open_batch
from scheduling.jobs.requests import JobRequest
from scheduling.models import Batch, Compensation, Job
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.compensation.payments import Payments, payment_service
from tests.integration.workloads.webhooks.conftest import Run, pool, run  # noqa: F401 - fixtures
from tests.platform_settings import ChangePlatformSettings

type Proceed = Callable[[], None]


@pytest.fixture
def payments(change_platform_settings: ChangePlatformSettings) -> Iterator[Payments]:
    with payment_service() as service:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{service.port}"])
        yield service


def charge(payments: Payments, order: str) -> JobRequest:
    """Return the request of a job that charges an order."""
    body = {"url": f"{payments.url}/charges", "method": "POST", "json": {"order": order}}
    return JobRequest(kind="http_call", payload=body)


def refund(payments: Payments, path: str = "/refunds", **options: Any) -> MemberCompensation:
    """Return the compensation of such jobs."""
    body = {"url": f"{payments.url}{path}", "method": "POST", "json": {}}
    return MemberCompensation("http_call", body, member_as="json", **options)


def charge_all(tenant: Tenant, payments: Payments, *orders: str, **options: Any) -> Batch:
    """Create a closed batch that charges orders."""
    requests = [charge(payments, order) for order in orders]
    undo = options.pop("compensation", None) or refund(payments)
    batch, _ = open_batch(tenant=tenant, label="orders", requests=requests, compensation=undo, closes=True, **options)
    return batch


@pytest.fixture
def proceed(run: Run) -> Proceed:  # noqa: F811
    """Return a function that does what dispatchers and workers do until nothing is left to do."""

    def go_on() -> None:
        for _ in range(50):
            fold_batches()
            submitted = compensate()
            with all_tenants():
                jobs = list(Job.objects.filter(state="available").order_by("pk"))
            for job in jobs:
                run(job)
            if not (jobs or submitted):
                return
        raise AssertionError("It never ends.")

    return go_on


def states(owner: Any) -> list[str]:
    """Return the states of an owner's compensations, the first work first."""
    with all_tenants():
        rows = Compensation.objects.filter(owner_id=owner.pk).order_by("done_at", "pk")
        return list(rows.values_list("state", flat=True))
