"""The pool whose workers run asynchronous kinds, and its queues: each tier has one queue there and one of the others.

An installation that has jobs, or an edited plan, gets the pool only: its operators change the rows of its CFS plans.
"""

from django.db import migrations
from django.db.models import F

from tenants.database.rls import cross_tenant_migration

POOL = "io"
# Rate of a slot that waits, in thousandths of one that computes.
RATE_MILLI = 10
# A trigger forbids changing versions.
DISABLE, ENABLE = (
    f"ALTER TABLE scheduling_cfs_plan_version {verb} TRIGGER keep_version" for verb in ("DISABLE", "ENABLE")
)
# tier: weight of its queue beside other queues of its pool
TIERS = {"sandbox": 1, "team": 2, "professional": 4}


def add_pool(apps, schema_editor):
    """Create the pool, and move the tiers' queues into it unless they are in use; other kinds get new queues."""

    def rows(model):
        return apps.get_model("scheduling", model).objects.using(schema_editor.connection.alias)

    with cross_tenant_migration(schema_editor):
        pool = rows("WorkerPool").create(
            name=POOL,
            description="Runs asynchronous kinds, whose slots wait.",
            resource_class="io",
            rate_milli=RATE_MILLI,
        )
        rows("PoolClock").create(pool=pool)
        if _is_in_use(rows):
            return
        computing, default = {}, rows("WorkerPool").get(name="default")
        for tier, weight in TIERS.items():
            computing[tier] = rows("Queue").create(name=f"tasks_{tier}", weight=weight, pool=default)
            rows("QueueClock").create(queue=computing[tier])
        rows("Queue").filter(name__in=_waiting_queues()).update(pool=pool, resource_class="io")
        for row in rows("CFSPlanTier").select_related("queue"):
            row.queue, row.io_queue = computing[row.tier_id], row.queue
            row.save()
        _restate(rows)


def remove_pool(apps, schema_editor):
    """Move the queues back and delete what `add_pool` created; refused by foreign keys if it is in use."""

    def rows(model):
        return apps.get_model("scheduling", model).objects.using(schema_editor.connection.alias)

    with cross_tenant_migration(schema_editor):
        rows("CFSPlanTier").filter(io_queue__pool__name=POOL).update(queue=F("io_queue"), io_queue=None)
        default = rows("WorkerPool").get(name="default")
        rows("Queue").filter(name__in=_waiting_queues(), pool__name=POOL).update(pool=default, resource_class="cpu")
        added = rows("Queue").filter(name__in=[f"tasks_{tier}" for tier in TIERS])
        rows("QueueClock").filter(queue__in=added).delete()
        added.delete()
        rows("PoolClock").filter(pool__name=POOL).delete()
        rows("WorkerPool").filter(name=POOL).delete()
        if not _is_in_use(rows):
            _restate(rows)


def _is_in_use(rows):
    return rows("Job").exists() or rows("CFSPlanVersion").filter(number__gt=1).exists()


def _waiting_queues():
    return ["workflow", *(f"workflow_{tier}" for tier in TIERS)]


def _restate(rows):
    """Let the first versions of the plans be what the plans are now."""
    for version in rows("CFSPlanVersion"):
        tiers = {}
        for row in rows("CFSPlanTier").filter(plan=version.plan_id).select_related("queue", "io_queue"):
            second = {"io_queue": row.io_queue.name} if row.io_queue else {}
            tiers[row.tier_id] = {"queue": row.queue.name, **second, "weight": row.weight}
        version.content = {**version.content, "tiers": tiers}
        version.save(update_fields=["content"])


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0008_queues_of_asynchronous_kinds"),
    ]

    operations = [
        migrations.RunSQL(DISABLE, ENABLE),
        migrations.RunPython(add_pool, remove_pool),
        migrations.RunSQL(ENABLE, DISABLE),
    ]
