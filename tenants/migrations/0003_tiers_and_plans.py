"""The tiers and plans that an installation begins with."""

from django.db import migrations

from tenants.database.rls import migration_door

FILES_PER_BATCH = "document_indexing.files_per_batch"
# slug, name, rank
TIERS = [
    ("sandbox", "Sandbox", 1),
    ("team", "Team", 2),
    ("professional", "Professional", 3),
]
# slug: weight, concurrency, submits a minute, waiting jobs, worker-seconds a month, highest priority, files a batch
PLANS = {
    "sandbox": (1, 2, 120, 10_000, 10_000, 5, 5),
    "team": (2, 5, 600, 100_000, 100_000, 10, 20),
    "professional": (4, 10, 3_000, 1_000_000, 1_000_000, 20, 100),
}


def put_tiers_and_plans(apps, schema_editor):
    Tier, Plan, PlanLimit = (apps.get_model("tenants", name) for name in ("Tier", "Plan", "PlanLimit"))
    alias = schema_editor.connection.alias
    with migration_door(schema_editor):
        for slug, name, rank in TIERS:
            tier = Tier.objects.using(alias).create(slug=slug, name=name, rank=rank)
            weight, concurrency, submits, waiting, worker_seconds, priority, files = PLANS[slug]
            plan = Plan.objects.using(alias).create(
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
            PlanLimit.objects.using(alias).create(plan=plan, key=FILES_PER_BATCH, value=files)


def take_tiers_and_plans(apps, schema_editor):
    Tier, Plan = apps.get_model("tenants", "Tier"), apps.get_model("tenants", "Plan")
    alias = schema_editor.connection.alias
    with migration_door(schema_editor):
        Plan.objects.using(alias).filter(slug__in=PLANS).delete()
        Tier.objects.using(alias).filter(slug__in=PLANS).delete()


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_row_security")]

    operations = [migrations.RunPython(put_tiers_and_plans, take_tiers_and_plans)]
