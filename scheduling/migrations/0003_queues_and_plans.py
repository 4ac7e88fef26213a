"""The pools, queues, routing rules and CFS plans that an installation begins with."""

from django.conf import settings
from django.db import migrations

from tenants.database.rls import migration_door

POOLS = [
    ("default", "Serves the queues of all job kinds."),
    ("maintenance", "One slot for the platform's own upkeep."),
]
# name, weight, resource class, expected seconds, pool
QUEUES = [
    ("priority_pipeline", 4, "cpu+memory", 5.0, "default"),
    ("workflow", 3, "cpu", 1.0, "default"),
    ("dataset", 2, "cpu+memory", 30.0, "default"),
    ("pipeline", 2, "cpu+memory", 30.0, "default"),
    ("workflow_storage", 2, "io", 0.05, "default"),
    ("workflow_professional", 4, "cpu", 1.0, "default"),
    ("workflow_team", 2, "cpu", 1.0, "default"),
    ("workflow_sandbox", 1, "cpu", 1.0, "default"),
    ("maintenance", 1, "io", 1.0, "maintenance"),
]
# kind, tier, queue (None: by tier), whether the tenant may name one of the kind's queues itself
ROUTING_RULES = [
    ("document_indexing", None, "dataset", False),
    ("rag_pipeline", "team", "priority_pipeline", True),
    ("rag_pipeline", "professional", "priority_pipeline", True),
    ("rag_pipeline", None, "pipeline", True),
    ("workflow_storage", None, "workflow_storage", False),
    ("workflow_execution", None, None, False),
    ("", None, None, False),
]
# Rules are asked in order of position; the gaps leave room for an operator's own.
POSITION_STEP = 10
GRANULARITY_SECONDS = 120
# plan: strategy, {tier: (queue, weight)}
CFS_PLANS = {
    "community": ("nop", dict.fromkeys(("sandbox", "team", "professional"), ("workflow", 3))),
    "cloud": (
        "time_slice",
        {
            "sandbox": ("workflow_sandbox", 1),
            "team": ("workflow_team", 2),
            "professional": ("workflow_professional", 4),
        },
    ),
}


def put_queues_and_plans(apps, schema_editor):
    alias = schema_editor.connection.alias

    def rows(name):
        return apps.get_model("scheduling", name).objects.using(alias)

    with migration_door(schema_editor):
        pools = {name: rows("WorkerPool").create(name=name, description=text) for name, text in POOLS}
        rows("PoolClock").bulk_create([rows("PoolClock").model(pool=pool) for pool in pools.values()])
        queues = {}
        for name, weight, resource_class, expected_seconds, pool in QUEUES:
            queues[name] = rows("Queue").create(
                name=name,
                weight=weight,
                resource_class=resource_class,
                expected_seconds=expected_seconds,
                pool=pools[pool],
            )
        rows("QueueClock").bulk_create([rows("QueueClock").model(queue=queue) for queue in queues.values()])
        for position, (kind, tier, queue, allows_choice) in enumerate(ROUTING_RULES, start=1):
            rows("RoutingRule").create(
                position=position * POSITION_STEP,
                kind=kind,
                tier_id=tier,
                queue=queues[queue] if queue else None,
                by_tier=queue is None,
                allows_queue_choice=allows_choice,
            )
        for name, (strategy, tiers) in CFS_PLANS.items():
            plan = rows("CFSPlan").create(
                name=name,
                strategy=strategy,
                granularity_seconds=GRANULARITY_SECONDS,
                is_active=name == settings.EDITION,
            )
            rows("CFSPlanTier").bulk_create(
                rows("CFSPlanTier").model(plan=plan, tier_id=tier, queue=queues[queue], weight=weight)
                for tier, (queue, weight) in tiers.items()
            )


def take_queues_and_plans(apps, schema_editor):
    with migration_door(schema_editor), schema_editor.connection.cursor() as cursor:
        for name in ("CFSPlanTier", "CFSPlan", "RoutingRule", "QueueClock", "Queue", "PoolClock", "WorkerPool"):
            table = apps.get_model("scheduling", name)._meta.db_table
            cursor.execute(f"DELETE FROM {schema_editor.quote_name(table)}")


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0002_row_security")]

    operations = [migrations.RunPython(put_queues_and_plans, take_queues_and_plans)]
