"""The tiers, plans and limits that an installation begins with."""

from django.db.models.functions import Now

from tenants.database.rls import cross_tenant_migration

# slug: name, rank
TIERS = {
    "sandbox": ("Sandbox", 1),
    "team": ("Team", 2),
    "professional": ("Professional", 3),
}
# slug: weight, concurrency, submits a minute, waiting jobs, worker-seconds a month, highest priority
PLANS = {
    "sandbox": (1, 2, 120, 10_000, 10_000, 5),
    "team": (2, 5, 600, 100_000, 100_000, 10),
    "professional": (4, 10, 3_000, 1_000_000, 1_000_000, 20),
}
GIB = 1024**3
# Limits that apps declare, by plan. A plan that is none of these has the defaults of the apps.
LIMITS = {
    "document_indexing.files_per_batch": (5, 20, 100),
    "vector_chunks": (100_000, 1_000_000, 10_000_000),
    "storage_bytes": (1 * GIB, 10 * GIB, 100 * GIB),
    "retention.finished_jobs_days": (7, 30, 90),
    "retention.failed_jobs_days": (30, 90, 180),
    # A month at least, because usage is recounted from them.
    "retention.executions_days": (40, 90, 180),
    "retention.events_days": (30, 90, 180),
    "retention.job_logs_days": (7, 30, 90),
    "retention.charges_days": (400, 400, 400),
    "retention.audit_days": (400, 400, 730),
}
VERSIONED = (
    "name",
    "weight",
    "max_concurrency",
    "max_waiting_jobs",
    "submits_per_minute",
    "worker_seconds_per_month",
    "max_priority",
    "retry_rules",
)


INITIAL_VERSION = {
    "author": "system",
    "reason": "initial version",
    "before": {},
    "after": {},
    "outcome": "applied",
    "outcome_at": Now(),
}


def create_plans(apps, schema_editor):
    """Create the tiers, and the plans with their limits and first versions."""
    alias = schema_editor.connection.alias

    def create(model, **values):
        return apps.get_model("tenants", model).objects.using(alias).create(**values)

    with cross_tenant_migration(schema_editor):
        for column, (slug, (name, rank)) in enumerate(TIERS.items()):
            tier = create("Tier", slug=slug, name=name, rank=rank)
            weight, concurrency, submits, waiting, worker_seconds, priority = PLANS[slug]
            plan = create(
                "Plan",
                slug=slug,
                name=name,
                tier=tier,
                weight=weight,
                max_concurrency=concurrency,
                submits_per_minute=submits,
                max_waiting_jobs=waiting,
                worker_seconds_per_month=worker_seconds,
                max_priority=priority,
            )
            limits = {key: values[column] for key, values in LIMITS.items()}
            for key, value in limits.items():
                create("PlanLimit", plan=plan, key=key, value=value)
            content = {name: getattr(plan, name) for name in VERSIONED} | {"tier": slug, "limits": limits}
            create("PlanVersion", plan=plan, number=1, content=content, **INITIAL_VERSION)
