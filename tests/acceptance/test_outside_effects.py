"""Payments over killed workers and dispatchers, with real processes: none is made twice, none stays undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from scheduling.jobs.batches.cancelling import cancel_batch
from scheduling.models import Batch, Compensation, Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.processes import eventually
from tests.integration.scheduling.compensation.conftest import charge_all
from tests.integration.scheduling.compensation.payments import Payments, payment_service

ROUNDS, ORDERS = 3, 8


@pytest.fixture
def payments(platform: Platform) -> Iterator[Payments]:
    with payment_service() as service:
        yield service


def ended(batch: Batch) -> bool:
    """Return whether the batch has ended, and all that is to be undone is."""
    with all_tenants():
        row = Batch.objects.get(pk=batch.pk)
        if row.ended_at is None or row.compensation_planned_at is None:
            return False
        undone = Counter(Compensation.objects.filter(owner_id=batch.pk).values_list("state", flat=True))
    return set(undone) <= {"compensated"}


def charged_some(batch: Batch) -> bool:
    with all_tenants():
        return Job.objects.filter(batch=batch, state="completed").exists()


def test_orders_are_charged_once_or_refunded_although_processes_are_killed(
    platform: Platform, acme: Tenant, payments: Payments
) -> None:
    worker = platform.begin_worker(pool="io", OUTGOING_HTTP_ALLOWED_HOSTS=f"127.0.0.1:{payments.port}")
    whole, undone = [], []
    for number in range(ROUNDS):
        kept = charge_all(acme, payments, *(f"kept-{number}-{order}" for order in range(ORDERS)))
        lost = charge_all(acme, payments, *(f"lost-{number}-{order}" for order in range(ORDERS)))
        eventually(lambda lost=lost: charged_some(lost), what="some are charged")
        worker.kill()
        with tenant_context(acme):
            cancel_batch(batch_id=lost.pk, reason="no stock")
        assert platform.dispatcher is not None
        platform.dispatcher.kill()
        platform.dispatcher = platform.start_dispatcher()
        worker = platform.begin_worker(pool="io", OUTGOING_HTTP_ALLOWED_HOSTS=f"127.0.0.1:{payments.port}")
        whole.append(kept)
        undone.append(lost)
    for batch in (*whole, *undone):
        eventually(
            lambda batch=batch: ended(batch), within=120, what="the batch has ended and is undone if it is to be"
        )
    worker.stop()
    assert not payments.double_charged
    assert payments.charged("lost-") == set()
    assert payments.charged("kept-") == {
        f"kept-{number}-{order}" for number in range(ROUNDS) for order in range(ORDERS)
    }
