"""The pools, queues, routing rules and CFS plans that an installation begins with."""

from django.db.models.functions import Now

from tenants.database.platform_settings import platform_settings
from tenants.database.rls import cross_tenant_migration

POOLS = {
    "default": "Serves the queues of all job kinds.",
    "maintenance": "One slot for the platform's own upkeep.",
}
# name: weight, resource class, expected seconds, pool
QUEUES = {
    "priority_pipeline": (4, "cpu+memory", 5.0, "default"),
    "workflow": (3, "cpu", 1.0, "default"),
    "dataset": (2, "cpu+memory", 30.0, "default"),
    "pipeline": (2, "cpu+memory", 30.0, "default"),
    "workflow_storage": (2, "io", 0.05, "default"),
    "workflow_professional": (4, "cpu", 1.0, "default"),
    "workflow_team": (2, "cpu", 1.0, "default"),
    "workflow_sandbox": (1, "cpu", 1.0, "default"),
    "maintenance": (1, "io", 1.0, "maintenance"),
}
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
# Rules are read in order of position; the gaps leave room for an operator's own.
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


def create_queues(apps, schema_editor):
    """Create the pools, queues and routing rules, and the CFS plans with their first versions."""
    alias = schema_editor.connection.alias

    def create(model, **values):
        return apps.get_model("scheduling", model).objects.using(alias).create(**values)

    with cross_tenant_migration(schema_editor):
        create("RollupClock", id=1)
        pools = {name: create("WorkerPool", name=name, description=text) for name, text in POOLS.items()}
        for pool in pools.values():
            create("PoolClock", pool=pool)
        queues = {}
        for name, (weight, resource_class, expected_seconds, pool) in QUEUES.items():
            queues[name] = create(
                "Queue",
                name=name,
                weight=weight,
                resource_class=resource_class,
                expected_seconds=expected_seconds,
                pool=pools[pool],
            )
            create("QueueClock", queue=queues[name])
        for position, (kind, tier, queue, allows_choice) in enumerate(ROUTING_RULES, start=1):
            create(
                "RoutingRule",
                position=position * POSITION_STEP,
                kind=kind,
                tier_id=tier,
                queue=queues[queue] if queue else None,
                by_tier=queue is None,
                allows_queue_choice=allows_choice,
            )
        for name, (strategy, tiers) in CFS_PLANS.items():
            plan = create(
                "CFSPlan",
                name=name,
                strategy=strategy,
                granularity_seconds=GRANULARITY_SECONDS,
                is_active=name == platform_settings.EDITION,
            )
            for tier, (queue, weight) in tiers.items():
                create("CFSPlanTier", plan=plan, tier_id=tier, queue=queues[queue], weight=weight)
            create(
                "CFSPlanVersion",
                plan=plan,
                number=1,
                author="system",
                reason="initial version",
                content={
                    "name": name,
                    "strategy": strategy,
                    "granularity_seconds": GRANULARITY_SECONDS,
                    "reserved_slots": plan.reserved_slots,
                    "tiers": {tier: {"queue": queue, "weight": weight} for tier, (queue, weight) in tiers.items()},
                },
                before={},
                after={},
                outcome="applied",
                outcome_at=Now(),
            )
