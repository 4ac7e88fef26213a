"""The virtual time of queues: over-predicted time is refunded, however little of the queue a tick reads."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection

from scheduling.fleet.workers import Registration
from scheduling.models import CFSPlanTier, QueueClock, Worker
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, in_flight, submit
from tests.predictions import predict

pytestmark = pytest.mark.django_db

SECOND = 10**9
SLEEP = {"kind": "sleep", "payload": {"seconds": 0}}


@pytest.mark.parametrize(("tenants", "jobs"), [(1, 3), (3, 1)], ids=["one tenant", "more tenants than are read"])
def test_queue_filling_the_pool_is_charged_what_was_measured(
    globex: Tenant, worker: Registration, tick: Tick, start: Start, tenants: int, jobs: int
) -> None:
    predict("sleep", 1_000_000)
    rows = [create_tenant(slug=f"tenant-{n}", name=f"Tenant {n}", plan="team") for n in range(tenants)]
    with all_tenants():
        CFSPlanTier.objects.filter(plan__is_active=True).update(weight=1)
        Worker.objects.update(slots=2)
    submitted = [submit(row, jobs, **SLEEP) for row in rows]
    submit(globex, 3, **SLEEP)
    queue_id = submitted[0][0].queue_id
    with all_tenants():
        # The other queue had more service, so that both slots go to this one.
        QueueClock.objects.filter(queue__name="tasks_sandbox").update(vruntime=5 * SECOND, was_backlogged=True)
    tick()
    assert {job.queue_id for job in in_flight()} == {queue_id}
    for job in in_flight():
        complete(start, job)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_settled SET measured_us = 100000, is_sample = false")
        Worker.objects.update(slots=1)
    tick()
    # Two times a tenth of a second, and the predicted second of the running one.
    clock = QueueClock.objects.get(queue_id=queue_id)
    assert Decimal(clock.vruntime) / SECOND == Decimal("1.2")
