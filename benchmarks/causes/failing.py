"""Faults that jobs fail by, and faults of the platform itself."""

from __future__ import annotations

from datetime import timedelta

from benchmarks.causes.world import ERROR, World, fault
from scheduling.breakers.service import force_circuit
from scheduling.models import (
    Circuit,
    Investigation,
    PlatformIncident,
    PoolGauge,
    Worker,
    WorkerPool,
)


@fault("bad version on one worker")
def _bad_version_on_one_worker(world: World) -> tuple[Investigation, str]:
    bad = world.worker("1.5.0", minutes_ago=6)
    world.end(120, workers=[bad.pk], kinds=["noop"], share=0.9)
    return world.fails("noop"), "1.5.0"


@fault("bad version on all workers")
def _bad_version(world: World) -> tuple[Investigation, str]:
    new = [world.worker("1.5.0", minutes_ago=8).pk for _ in range(4)]
    world.end(400, workers=new, share=0.4)
    return world.alert("failure_rate", "queue:pipeline", parents=["pool:default"]), "1.5.0"


@fault("poison payload of one tenant")
def _poison_payload(world: World) -> tuple[Investigation, str]:
    world.end(150, tenants=[world.tenants[2].pk], kinds=["rag_pipeline"], share=0.95)
    return world.fails("rag_pipeline"), f"tenant {world.tenants[2].slug}"


@fault("new cause: one tenant's data")
def _new_cause(world: World) -> tuple[Investigation, str]:
    world.end(80, tenants=[world.tenants[3].pk], share=1.0, error="00000000feedface")
    return world.alert("new_cause", "cause:00000000feedface", threshold=3), f"tenant {world.tenants[3].slug}"


@fault("one worker with a bad disk")
def _bad_worker(world: World) -> tuple[Investigation, str]:
    world.end(200, workers=[world.workers[1]], share=0.7)
    return world.alert("failure_rate", "queue:dataset", parents=["pool:default"]), "worker node-1:7"


@fault("bad version of a template")
def _bad_template(world: World) -> tuple[Investigation, str]:
    own = {"tenants": [world.tenants[1].pk], "kinds": ["noop"]}
    world.end(200, **own, template="import@3", first=40, last=5)
    world.end(100, **own, template="import@4", share=1.0)
    world.changed(
        "job_template.changed", "scheduling.jobtemplate", "t1", world.tenants[1], 280, name="import", version=4
    )
    return world.alert("failure_rate", f"tenant:{world.tenants[1].pk}"), "import"


@fault("bad version of a workflow")
def _bad_workflow(world: World) -> tuple[Investigation, str]:
    world.end(120, tenants=[world.tenants[4].pk], kinds=["workflow_execution"], share=0.9)
    world.changed("workflow.version_added", "workflow_execution.workflow", "w1", world.tenants[4], 240, name="orders")
    return world.alert("failure_rate", f"tenant:{world.tenants[4].pk}"), "workflow.version_added orders"


@fault("secret replaced by a wrong one")
def _wrong_secret(world: World) -> tuple[Investigation, str]:
    world.end(120, tenants=[world.tenants[1].pk], kinds=["webhook_delivery"], share=1.0)
    world.changed("secret.rotated", "tenants.tenantsecret", "s1", world.tenants[1], 200, name="crm", version=2)
    return world.alert("failure_rate", f"tenant:{world.tenants[1].pk}"), "secret.rotated crm"


@fault("bad setting of a tenant")
def _bad_setting(world: World) -> tuple[Investigation, str]:
    world.end(100, tenants=[world.tenants[5].pk], share=0.8)
    world.changed("settings.changed", "tenants.tenant", world.tenants[5].pk, world.tenants[5], 250, timeout=1)
    return world.alert("failure_rate", f"tenant:{world.tenants[5].pk}"), "settings.changed"


@fault("webhook pointed at a wrong address")
def _wrong_webhook(world: World) -> tuple[Investigation, str]:
    world.end(100, tenants=[world.tenants[2].pk], kinds=["webhook_delivery"], share=1.0)
    world.changed(
        "webhook.changed", "webhooks.webhook", "h1", world.tenants[2], 270, name="ops", url="https://x.example"
    )
    return world.alert("failure_rate", f"tenant:{world.tenants[2].pk}"), "webhook.changed ops"


@fault("breaker of a dependency open")
def _open_breaker(world: World) -> tuple[Investigation, str]:
    world.end(100, kinds=["document_indexing"], share=0.9)
    counted = world.now - timedelta(minutes=4)
    facts = {"kind": "document_indexing", "dependency": "embeddings.example", "holds_all": True, "state": "open"}
    facts |= {"failures": 5, "fingerprint": ERROR, "error_type": "Timeout", "error_message": "no answer"}
    Circuit.objects.create(counted_from=counted, opened_at=counted, **facts)
    return world.fails("document_indexing"), "embeddings.example"


@fault("breaker forced open")
def _forced_breaker(world: World) -> tuple[Investigation, str]:
    tenant = world.tenants[1]
    force_circuit(kind="noop", tenant_id=tenant.pk, is_open=True, reason="drill")
    return world.alert("breaker_open", f"kind:noop@{tenant.pk}", threshold=5, about_tenant=tenant.pk), "circuit"


@fault("broker away")
def _broker(world: World) -> tuple[Investigation, str]:
    world.alert("broker_away", "check:broker", threshold=1, facts={"message": "Connection refused"})
    return world.waits("pipeline"), "broker_away"


@fault("workers killed")
def _killed(world: World) -> tuple[Investigation, str]:
    lost = world.now - timedelta(minutes=1)
    Worker.objects.filter(pk__in=world.workers[:2]).update(heartbeat_at=lost - timedelta(minutes=1))
    return world.alert("pool_without_worker", "pool:default", threshold=1), "is silent"


@fault("no workers left in the pool")
def _scaled_down(world: World) -> tuple[Investigation, str]:
    Worker.objects.update(stopped_at=world.now - timedelta(minutes=2), status="stopped")
    facts = {"slots": 0, "slots_milli": 0, "sampled_at": world.now}
    PoolGauge.objects.create(
        pool=WorkerPool.objects.get(name="default"), minute=world.now - timedelta(minutes=1), **facts
    )
    return world.waits("pipeline"), "pool default is full or has no slots"


@fault("database slow")
def _slow_database(world: World) -> tuple[Investigation, str]:
    world.alert("check", "check:writes", threshold=2, facts={"message": "A write took 2.8 s"})
    return world.waits("workflow_team"), "writes"


@fault("disk full")
def _full_disk(world: World) -> tuple[Investigation, str]:
    world.alert("check", "check:disk", threshold=2, facts={"message": "No space left on device"})
    world.end(300, share=0.5)
    PlatformIncident.objects.create(name="duty_failed", detail="fold", minute=world.now - timedelta(minutes=2), count=9)
    return world.alert("failure_rate", "queue:pipeline", parents=["pool:default"]), "disk"


@fault("bulk requeue")
def _bulk_requeue(world: World) -> tuple[Investigation, str]:
    world.end(900, tenants=[world.tenants[4].pk], queues=["pipeline"], kinds=["rag_pipeline"])
    after = {"operation": "requeue", "filter": "kind:rag_pipeline"}
    world.changed("bulk_operation.started", "scheduling.bulkoperation", "b1", world.tenants[4], 290, **after)
    return world.waits("pipeline"), "bulk_operation.started b1"
