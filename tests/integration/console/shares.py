"""Helpers for tests of shares: demand, minutes, samples, dispatches."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection

from scheduling.models import (
    FairShareNode,
    JobEvent,
    RollupClock,
    ShareMinute,
    TenantMinute,
)
from scheduling.shares.samples import sample_shares
from scheduling.statistics.histogram import BUCKETS
from tenants.database.clock import read_clock
from tenants.models import Tenant
from tests.integration.console.conftest import Work, queue_named

MINUTE_US = 60_000_000


def demand(tenant: Tenant, *, vruntime: int = 0, weight: int = 1, waiting: int = 9) -> FairShareNode:
    """Let the tenant wait in the queue `tasks`."""
    entity, _ = FairShareNode.objects.update_or_create(
        tenant=tenant,
        queue=queue_named("tasks"),
        defaults={"waiting": waiting, "is_runnable": True, "vruntime": vruntime, "weight_milli": weight * 1000},
    )
    return entity


def note(tenant: Tenant, minute: datetime, *, used: float, entitled: float, queue: str = "tasks") -> None:
    """Store a minute in which the tenant was backlogged all the time."""
    queue_id = queue_named(queue).pk
    TenantMinute.objects.create(
        tenant=tenant,
        minute=minute,
        queue_id=queue_id,
        busy_us=round(used * MINUTE_US),
        wait=[0] * BUCKETS,
        run=[0] * BUCKETS,
    )
    ShareMinute.objects.create(
        tenant=tenant,
        minute=minute,
        queue_id=queue_id,
        entitled_us=round(entitled * MINUTE_US),
        backlogged_us=MINUTE_US,
        lag_us=1_500_000,
    )


def sample_after(seconds: float) -> int:
    """Take a sample that covers the last `seconds`."""
    RollupClock.objects.update(shares_sampled_at=read_clock() - timedelta(seconds=seconds))
    written = sample_shares()
    with connection.cursor() as cursor:
        # The test's transaction is longer than a dispatcher's.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    return written


def a_whole_minute_ago() -> datetime:
    return read_clock().replace(second=0, microsecond=0) - timedelta(minutes=1)


def dispatched(work: Work, **data: object) -> None:
    """Store the event of the failed job's one dispatch."""
    JobEvent.objects.create(
        tenant=work.tenant,
        job_id=work.failed.pk,
        execution_id=work.execution.pk,
        at=work.execution.dispatched_at,
        name="job.dispatched",
        state="dispatched",
        actor="system",
        data=data,
    )


FACTS = {
    "level": "tenant",
    "reason": "least_virtual_time",
    "start_tag": 5_000_000,
    "runner_up_start_tag": 9_000_000,
    "queue_vruntime": 1_000_000,
    "queue_runner_up_start_tag": 8_000_000,
    "key_start_tag": 2_000_000,
    "key_runner_up_start_tag": 2_000_000,
    "in_flight": 3,
}
