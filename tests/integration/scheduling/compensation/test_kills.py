"""Payments over dispatchers and workers that are killed at any statement: none is charged twice, none stays undone.

`make effect-kills KILLS=10000` is the same with more kills.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from scheduling.fleet.workers import register_worker
from scheduling.jobs.batches.cancelling import cancel_batch
from scheduling.models import Compensation, Job, OutboxMessage, OutboxRoute
from scheduling.outbox.service import OUTBOX_ROUTES
from tenants.context import all_tenants, tenant_context
from tenants.models import Plan, Tenant
from tests.integration.scheduling.compensation.conftest import charge_all
from tests.integration.scheduling.compensation.mortal import Platform
from tests.integration.scheduling.compensation.payments import DECLINED, Payments
from tests.integration.scheduling.job_helpers import submit, use_one_pool
from tests.integration.scheduling.worker import conftest as scripted
from tests.processors import added_processor
from workloads.webhooks.service import create_webhook

pytestmark = [
    pytest.mark.usefixtures("transactional_db"),
    # A process that dies leaves its cursor open.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
KILLS = int(os.environ.get("EFFECT_KILLS", "60"))
SEED = int(os.environ.get("EFFECT_SEED", "1"))
ENDS = ("completed", "declined", "cancelled")


def emit_charges(context: Any) -> None:
    """Emit a message for each order of the payload, in order."""
    for order in context.payload["orders"]:
        context.emit("payment.charge", {"order": order}, key="till")


@pytest.fixture
def platform(acme: Tenant, payments: Payments, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    use_one_pool()
    monkeypatch.setattr(scripted, "script", emit_charges)
    with all_tenants():
        Plan.objects.update(max_waiting_jobs=1_000_000)
        Tenant.objects.update(max_concurrency=50)
    create_webhook(tenant=acme, name="payments", url=f"{payments.url}/hook")
    with tenant_context(acme):
        values = {"name": "payments", "topic": "payment.*", "adapter": "webhook", "target": "payments"}
        OUTBOX_ROUTES.save(OutboxRoute(), values)
    with added_processor(f"{scripted.__name__}.Scripted"):
        # A worker announces the kinds that it has when it registers.
        worker = register_worker(pool_name="default", hostname="test", pid=1, slots=4)
        yield Platform(worker, random.Random(SEED))


def play(platform: Platform, acme: Tenant, payments: Payments, number: int) -> None:
    """Run a batch of charges that ends in one of three ways, and a job that emits charges; check both."""
    end = ENDS[number % 3]
    orders = [f"{end}-{number}-{one}" for one in range(3)]
    batch = charge_all(acme, payments, *orders, *([f"{DECLINED}-{number}"] if end == "declined" else []))
    emitted = [f"emitted-{number}-{one}" for one in range(2)]
    submit(acme, kind="scripted", payload={"orders": emitted})
    if end == "cancelled":
        for _ in range(2):
            platform.dispatch()
            platform.work()
        with tenant_context(acme):
            batch.refresh_from_db()
            if batch.ended_at is None:
                cancel_batch(batch_id=batch.pk, reason="no stock")
            else:
                end = "completed"
    platform.run()
    is_whole = set(orders) if end == "completed" else set()
    assert payments.charged(f"{ENDS[number % 3]}-{number}-") == is_whole
    assert payments.charged(f"emitted-{number}-") == set(emitted)


def test_no_payment_is_made_twice_or_left_undone(acme: Tenant, platform: Platform, payments: Payments) -> None:
    number = 0
    while platform.kills < KILLS:
        play(platform, acme, payments, number)
        number += 1
    with all_tenants():
        undone = Counter(Compensation.objects.values_list("state", flat=True))
        messages = Counter(OutboxMessage.objects.values_list("state", flat=True))
        jobs = Counter(Job.objects.values_list("state", flat=True))
    print(f"\n{platform.kills:,} kills, {number:,} rounds, requests {dict(payments.requests)}")  # noqa: T201
    print(f"jobs {dict(jobs)}, messages {dict(messages)}, compensations {dict(undone)}")  # noqa: T201
    print(f"double charges: {len(payments.double_charged)}")  # noqa: T201
    assert not payments.double_charged
    assert set(undone) <= {"compensated"}
    assert set(messages) == {"delivered"}
