"""Faults that jobs wait by."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from benchmarks.causes.world import World, fault
from scheduling.models import (
    CFSPlan,
    Investigation,
    Job,
    Queue,
    QueueGauge,
    Schedule,
    ScheduleFire,
    WorkerPool,
)
from scheduling.plans.service import TierRow, update_cfs_plan
from scheduling.schedules.definitions import create_schedule
from scheduling.stops.pauses import drain_pool, pause_kind, pause_pool, pause_queue
from scheduling.topology.service import create_routing_rule, update_queue
from tenants.context import tenant_context
from tenants.database.ids import uuid7_floor
from tenants.limits.service import set_tenant_limit
from tenants.models import LimitWarning
from tenants.tenancy.service import pause_tenant, suspend_tenant, update_tenant


@fault("wrong route")
def _wrong_route(world: World) -> tuple[Investigation, str]:
    queue = Queue.objects.get(name="maintenance")
    values = {"kind": "noop", "queue": queue, "position": 1}
    create_routing_rule(values=values, reason="tidy up")
    return world.alert(
        "oldest_wait", "queue:maintenance", threshold=300, parents=["pool:maintenance"]
    ), "routing_rule.created"


@fault("least weight in the CFS plan")
def _least_weight(world: World) -> tuple[Investigation, str]:
    plan = CFSPlan.objects.get(is_active=True)
    rows = list(plan.tiers.all())
    tiers = [TierRow(row.tier_id, row.queue_id, 1 if row.tier_id == "team" else 1_000, row.io_queue_id) for row in rows]
    update_cfs_plan(plan=plan, fields={}, tiers=tiers)
    queue = next(row.queue.name for row in rows if row.tier_id == "team")
    return world.waits(queue), "cfs_plan.changed"


@fault("scheduled version of the CFS plan")
def _scheduled_version(world: World) -> tuple[Investigation, str]:
    plan = CFSPlan.objects.get(is_active=True)
    after = {"tiers": {"team": {"queue": "workflow_team", "weight": 1}}}
    world.changed("cfs_plan.changed", "scheduling.cfsplan", plan.pk, None, 420, name=plan.name, **after)
    return world.waits("workflow_team"), f"cfs_plan.changed {plan.name}"


@fault("weight of a tenant reduced")
def _tenant_weight(world: World) -> tuple[Investigation, str]:
    update_tenant(tenant=world.tenants[1], changes={"weight_factor": Decimal("0.01")})
    return world.waits_of(world.tenants[1]), "tenant.updated"


@fault("limit of a tenant reduced")
def _reduced_limit(world: World) -> tuple[Investigation, str]:
    set_tenant_limit(tenant=world.tenants[2], key="max_concurrency", value=1, reason="test")
    return world.waits_of(world.tenants[2]), "tenant."


@fault("worker time of the month used up")
def _quota(world: World) -> tuple[Investigation, str]:
    facts = {
        "key": "worker_seconds",
        "period": world.now.date().replace(day=1),
        "percent": 100,
        "used": 1,
        "allowed": 1,
    }
    LimitWarning.objects.create(tenant=world.tenants[3], **facts)
    return world.waits_of(world.tenants[3]), "worker_seconds"


@fault("tenant paused")
def _paused_tenant(world: World) -> tuple[Investigation, str]:
    pause_tenant(tenant=world.tenants[4], reason="debugging")
    return world.waits_of(world.tenants[4]), "paused"


@fault("tenant suspended")
def _suspended_tenant(world: World) -> tuple[Investigation, str]:
    suspend_tenant(tenant=world.tenants[5], reason="unpaid")
    return world.waits_of(world.tenants[5]), "suspended"


@fault("queue paused")
def _paused_queue(world: World) -> tuple[Investigation, str]:
    pause_queue(queue=Queue.objects.get(name="pipeline"), reason="maintenance")
    return world.waits("pipeline"), "pipeline"


@fault("kind paused")
def _paused_kind(world: World) -> tuple[Investigation, str]:
    pause_kind(kind="rag_pipeline", reason="bad release")
    world.end(150, kinds=["rag_pipeline"], queues=["pipeline"], first=30, last=5)
    return world.waits("pipeline"), "rag_pipeline"


@fault("pool paused")
def _paused_pool(world: World) -> tuple[Investigation, str]:
    pause_pool(pool=WorkerPool.objects.get(name="default"), reason="upgrade")
    return world.waits("dataset"), "default"


@fault("pool draining")
def _draining_pool(world: World) -> tuple[Investigation, str]:
    drain_pool(pool=WorkerPool.objects.get(name="default"), reason="move")
    return world.waits("dataset"), "default"


@fault("full cap of a queue")
def _full_cap(world: World) -> tuple[Investigation, str]:
    queue = Queue.objects.get(name="dataset")
    update_queue(queue=queue, changes={"cap": 2})
    facts = {"waiting": 500, "executing": 2, "slots_milli": 2_000, "sampled_at": world.now}
    QueueGauge.objects.create(queue=queue, minute=world.now - timedelta(minutes=1), **facts)
    return world.waits("dataset"), "dataset"


@fault("cap of a queue that was always too low")
def _low_cap(world: World) -> tuple[Investigation, str]:
    Queue.objects.filter(name="dataset").update(cap=2)
    facts = {"waiting": 500, "executing": 2, "slots_milli": 2_000, "sampled_at": world.now}
    QueueGauge.objects.create(queue=Queue.objects.get(name="dataset"), minute=world.now - timedelta(minutes=1), **facts)
    return world.waits("dataset"), "cap"


@fault("schedule storm")
def _schedule_storm(world: World) -> tuple[Investigation, str]:
    tenant = world.tenants[3]
    values = {"name": "every-second", "kind": "noop", "cron": "* * * * *"}
    schedule: Schedule = create_schedule(tenant=tenant, values=values)
    world.end(300, tenants=[tenant.pk], queues=["pipeline"], kinds=["noop"], first=5, last=0.1)
    times = [world.now - timedelta(seconds=number) for number in range(1, 290)]
    with tenant_context(tenant):
        job = Job.objects.filter(tenant=tenant).values_list("pk", flat=True)[0]
        ScheduleFire.objects.bulk_create(
            ScheduleFire(id=uuid7_floor(at), tenant=tenant, schedule=schedule, fire_time=at, trigger="cron",
                         outcome="submitted", job_id=job, fired_at=at)
            for at in times
        )  # fmt: skip
    return world.waits("pipeline"), "every-second"


@fault("flood of one tenant")
def _flood(world: World) -> tuple[Investigation, str]:
    world.end(1_500, tenants=[world.tenants[2].pk], queues=["pipeline"])
    return world.waits("pipeline"), f"tenant {world.tenants[2].slug}"


@fault("slow jobs of one tenant")
def _slow_tenant(world: World) -> tuple[Investigation, str]:
    world.end(60, tenants=[world.tenants[1].pk], queues=["dataset"], us=90_000_000)
    return world.waits("dataset"), f"tenant {world.tenants[1].slug}"
