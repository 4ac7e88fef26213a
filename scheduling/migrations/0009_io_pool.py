"""The pool whose workers run asynchronous kinds, and its queues: each tier has one queue there and one of other kinds.

The tiers' queues keep their rows with all their jobs, and get the new names. The old names are those of new queues.
A queue that is paused, drained or limited has its twin paused, drained or limited; schedules that name it are changed.
"""

from django.db import migrations
from django.db.migrations.exceptions import IrreversibleError
from django.db.models import Q

from tenants.database.rls import cross_tenant_migration

POOL = "io"
# Rate of a slot that waits, in thousandths of one that computes.
RATE_MILLI = 10
# Former name: new name.
RENAMED = {
    "workflow": "tasks",
    **{f"workflow_{tier}": f"tasks_{tier}" for tier in ("sandbox", "team", "professional")},
}
# What an operator has set holds for both queues.
PAUSE = ("is_paused", "pause_reason", "paused_at", "paused_by", "paused_until")
LIMITS = ("weight", "cap", "dispatches_per_minute", "dispatch_burst", *PAUSE)
# A trigger forbids changing versions.
DISABLE, ENABLE = (
    f"ALTER TABLE scheduling_cfs_plan_version {verb} TRIGGER keep_version" for verb in ("DISABLE", "ENABLE")
)


def add_pool(apps, schema_editor):
    """Create the pool and its queues; rename the queues whose names these get."""
    rows = _rows_of(apps, schema_editor)
    with cross_tenant_migration(schema_editor):
        pool = rows("WorkerPool").create(
            name=POOL,
            description="Runs asynchronous kinds, whose slots wait.",
            resource_class="io",
            rate_milli=RATE_MILLI,
        )
        rows("PoolClock").create(pool=pool)
        for name, new_name in RENAMED.items():
            for queue in rows("Queue").filter(name=name):
                rows("Queue").filter(pk=queue.pk).update(name=new_name)
                limits = {field: getattr(queue, field) for field in LIMITS}
                waiting = rows("Queue").create(name=name, resource_class="io", pool=pool, **limits)
                rows("QueueClock").create(queue=waiting)
                rows("CFSPlanTier").filter(queue=queue, io_queue=None).update(io_queue=waiting)
                for drain in rows("Drain").filter(scope="queue", name=name).values():
                    rows("Drain").create(**{**drain, "id": None, "name": new_name})
                # Other kinds' jobs have the queue only by tier, as without a name.
                ruled = rows("RoutingRule").filter(Q(queue=queue) | Q(targets__queue=queue))
                rows("Schedule").filter(queue=name, kind__in=ruled.values("kind")).update(queue=new_name)
                rows("Schedule").filter(queue=name).update(queue="")
        _rewrite_versions(rows, lambda row: {"io_queue": row["queue"], **row, "queue": RENAMED[row["queue"]]}, RENAMED)


def remove_pool(apps, schema_editor):
    """Delete the pool and its queues, and restore the old names; raise IrreversibleError if it has had jobs."""
    rows, old_names = _rows_of(apps, schema_editor), {new_name: name for name, new_name in RENAMED.items()}
    with cross_tenant_migration(schema_editor):
        added = rows("Queue").filter(pool__name=POOL, name__in=RENAMED)
        if rows("FairShareNode").filter(queue__in=added).exists():
            raise IrreversibleError("The pool io has had jobs, whose queues this would delete. Keep this migration.")
        rows("CFSPlanTier").filter(io_queue__in=added).update(io_queue=None)
        added.delete()
        rows("WorkerPool").filter(name=POOL).delete()
        for new_name, name in old_names.items():
            rows("Queue").filter(name=new_name).update(name=name)
            rows("Drain").filter(scope="queue", name=name).delete()
            rows("Drain").filter(scope="queue", name=new_name).update(name=name)
            rows("Schedule").filter(queue=new_name).update(queue=name)
        _rewrite_versions(rows, lambda row: {"queue": old_names[row["queue"]], "weight": row["weight"]}, old_names)


def _rows_of(apps, schema_editor):
    return lambda model: apps.get_model("scheduling", model).objects.using(schema_editor.connection.alias)


def _rewrite_versions(rows, rewrite, names):
    """Rewrite the tier rows that name these queues in the stored versions of CFS plans."""

    def rewritten(value):
        if not isinstance(value, dict):
            return value
        if value.get("queue") in names:
            return rewrite(value)
        return {key: rewritten(part) for key, part in value.items()}

    for version in rows("CFSPlanVersion").iterator():
        for field in ("content", "before", "after"):
            setattr(version, field, rewritten(getattr(version, field)))
        version.save(update_fields=["content", "before", "after"])


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0008_queues_of_asynchronous_kinds"),
    ]

    operations = [
        migrations.RunSQL(DISABLE, ENABLE),
        migrations.RunPython(add_pool, remove_pool),
        migrations.RunSQL(ENABLE, DISABLE),
    ]
