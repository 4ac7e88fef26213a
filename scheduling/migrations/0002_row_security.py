"""Both walls around the scheduler's tables, same-tenant keys, and the storage of the hot tables."""

from django.db import migrations

from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity

READ = ["SELECT"]
APPEND = ["SELECT", "INSERT"]
# Tables that the tick empties: no key and no index, so that appending is all that submitters pay.
CREATE_WAKE = """
    CREATE TABLE scheduling_wake (
        tenant_id uuid NOT NULL, entity_id bigint NOT NULL, queue_id bigint NOT NULL, waiting_delta integer NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)
"""
CREATE_SETTLED = """
    CREATE TABLE scheduling_settled (
        tenant_id uuid NOT NULL, entity_id bigint NOT NULL, queue_id bigint NOT NULL, kind varchar(64) NOT NULL,
        predicted_us bigint NOT NULL, measured_us bigint NOT NULL, weight_milli integer NOT NULL,
        queue_weight_milli integer NOT NULL, is_sample boolean NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)
"""
# Rows that are updated many times a second keep room on their page, so that updates stay on it (HOT).
ROOMY_TABLES = [
    "scheduling_schedulingentity",
    "scheduling_execution_live",
    "scheduling_tenant_capacity",
    "scheduling_queue_clock",
    "scheduling_pool_clock",
    "scheduling_worker",
]
TENANT_TABLES = [
    "Batch",
    "Job",
    "JobReady",
    "JobDue",
    "JobHeld",
    "JobDeadline",
    "DeadLetter",
    "LiveExecution",
    "SchedulingEntity",
    "TenantCapacity",
    "TenantKindCost",
    "Wake",
    "Settled",
]
HISTORY_TABLES = ["Execution", "JobEvent", "Charge"]
# What all tenants share: readable by everybody, changed behind the door.
SHARED_TABLES = [
    "WorkerPool",
    "PoolClock",
    "Worker",
    "Queue",
    "QueueClock",
    "RoutingRule",
    "KindPause",
    "CFSPlan",
    "CFSPlanTier",
    "KindCost",
]
TABLES_WITH_A_JOB = ["JobReady", "JobDue", "JobHeld", "JobDeadline", "DeadLetter", "LiveExecution"]


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0001_models"), ("tenants", "0003_tiers_and_plans")]

    operations = [
        migrations.RunSQL(CREATE_WAKE, "DROP TABLE scheduling_wake"),
        migrations.RunSQL(CREATE_SETTLED, "DROP TABLE scheduling_settled"),
        *[
            migrations.RunSQL(
                f"ALTER TABLE {table} SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02)",
                f"ALTER TABLE {table} RESET (fillfactor, autovacuum_vacuum_scale_factor)",
            )
            for table in ROOMY_TABLES
        ],
        *[EnableRowSecurity(model) for model in TENANT_TABLES],
        *[EnableRowSecurity(model, app_may=APPEND) for model in HISTORY_TABLES],
        *[EnableRowSecurity(model, column=None, app_may=READ) for model in SHARED_TABLES],
        AddCompositeForeignKey("Job", columns=("tenant_id", "batch_id"), to="scheduling.Batch"),
        AddCompositeForeignKey("Job", columns=("tenant_id", "parent_id"), to="scheduling.Job", on_delete="SET NULL"),
        *[
            AddCompositeForeignKey(model, columns=("tenant_id", "job_id"), to="scheduling.Job")
            for model in TABLES_WITH_A_JOB
        ],
    ]
