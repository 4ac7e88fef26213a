"""A random walk in which stops, limits and configuration change as well."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models.functions import Now

from scheduling.models import CFSPlan, Queue, QueueClock, Worker, WorkerPool
from scheduling.plans.service import TierRow, update_cfs_plan
from scheduling.stops.pauses import pause_pool, pause_queue, resume_pool, resume_queue
from scheduling.topology.service import update_queue
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.tenancy.service import pause_tenant, reinstate_tenant, resume_tenant, suspend_tenant, update_tenant
from tests.integration.scheduling.random_walk import Walk


class StoppingWalk(Walk):
    """A walk that also stops tenants, queues and pools, loses workers and edits limits."""

    queue_names = ("tasks_team", "tasks_sandbox")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Stops are a small part of all acts, and most stopped targets soon resume.
        self.acts = self.acts * 3 + [
            self.stop_tenant,
            self.suspend_tenant,
            self.stop_queue,
            self.stop_pool,
            self.lose_worker,
            self.cap_queue,
            self.rate_queue,
            self.refill,
            self.edit_tenant,
            self.edit_queue,
            self.edit_plan,
        ]

    def tenant(self) -> Tenant:
        with all_tenants():
            return Tenant.objects.get(pk=self.random.choice(self.tenants).pk)

    def queue(self) -> Queue:
        return Queue.objects.get(name=self.random.choice(self.queue_names))

    def stop_tenant(self) -> None:
        tenant = self.tenant()
        if self.random.random() < 0.25:
            pause_tenant(tenant=tenant, reason="x")
        else:
            resume_tenant(tenant=tenant)

    def suspend_tenant(self) -> None:
        tenant = self.tenant()
        if self.random.random() < 0.25:
            suspend_tenant(tenant=tenant, reason="x")
        else:
            reinstate_tenant(tenant=tenant, reason="x")

    def stop_queue(self) -> None:
        queue = self.queue()
        if self.random.random() < 0.25:
            pause_queue(queue=queue, reason="x")
        else:
            resume_queue(queue=queue)

    def stop_pool(self) -> None:
        pool = WorkerPool.objects.get(pk=self.queue().pool_id)
        if self.random.random() < 0.25:
            pause_pool(pool=pool, reason="x")
        else:
            resume_pool(pool=pool)

    def lose_worker(self) -> None:
        """Lose a worker's slots; mostly it soon returns."""
        silence = self.random.choice([timedelta(hours=1), *[timedelta(hours=-1)] * 4])
        with all_tenants():
            Worker.objects.filter(pool_id=self.queue().pool_id).update(heartbeat_at=Now() - silence, status="online")

    def cap_queue(self) -> None:
        update_queue(queue=self.queue(), changes={"cap": self.random.choice([None, None, 1, 3])})

    def rate_queue(self) -> None:
        changes = {"dispatches_per_minute": self.random.choice([None, None, 1, 60_000]), "dispatch_burst": None}
        update_queue(queue=self.queue(), changes=changes)

    def refill(self) -> None:
        """Let a minute pass for the rates."""
        with all_tenants():
            QueueClock.objects.update(arrival_us=0)

    def edit_tenant(self) -> None:
        factor, cap = self.random.choice([1, 2, 5]), self.random.choice([None, None, 1, 2, 5])
        update_tenant(tenant=self.tenant(), changes={"weight_factor": Decimal(factor), "max_concurrency": cap})

    def edit_queue(self) -> None:
        update_queue(queue=self.queue(), changes={"weight": self.random.randint(1, 9)})

    def edit_plan(self) -> None:
        """Edit the weights of the tiers, and sometimes the strategy and the reserved slots."""
        plan = CFSPlan.objects.get(is_active=True)
        tiers = [TierRow(row.tier_id, row.queue_id, self.random.randint(1, 9)) for row in plan.tiers.all()]
        update_cfs_plan(plan=plan, fields=self.plan_fields(), tiers=tiers)

    def plan_fields(self) -> dict[str, Any]:
        return {
            "strategy": self.random.choice([CFSPlan.Strategy.TIME_SLICE] * 3 + [CFSPlan.Strategy.NOP]),
            "reserved_slots": self.random.choice([0, 0, 1, 2]),
        }
