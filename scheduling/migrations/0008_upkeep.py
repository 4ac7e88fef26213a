"""Upkeep, its runs, the rollups, and how long what is kept."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity, migration_door

READ = ["SELECT"]
# Emptied once a second by whoever folds: no key and no index, so that appending is all that settlement pays.
CREATE_TALLY = """
    CREATE TABLE scheduling_tally (
        tenant_id uuid NOT NULL, queue_id bigint NOT NULL, kind varchar(64) NOT NULL, outcome varchar(12) NOT NULL,
        is_dead boolean NOT NULL, wait_us bigint, started_at timestamptz, measured_us bigint NOT NULL,
        ended_at timestamptz NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)
"""
# A delete of a job would look for it in the ready table row by row: no index there begins with the job, and one
# would cost every submission. The check `counters` finds what the key would have refused.
READY_KEY = "scheduling_job_ready_job_id_same_tenant"
DROP_READY_KEY = f"ALTER TABLE scheduling_job_ready DROP CONSTRAINT {READY_KEY}"
ADD_READY_KEY = f"""
    ALTER TABLE scheduling_job_ready ADD CONSTRAINT {READY_KEY} FOREIGN KEY (tenant_id, job_id)
    REFERENCES scheduling_job (tenant_id, id) DEFERRABLE INITIALLY IMMEDIATE
"""
# Rows of the running minute and hour are updated once a second and stay on their page (HOT).
ROLLUPS = ["scheduling_queue_minute", "scheduling_tenant_minute", "scheduling_kind_hour", "scheduling_rollup_clock"]
# Days by plan; a plan that is none of these has the defaults of scheduling.retention.
RETENTION = {
    "finished_jobs": {"sandbox": 7, "team": 30, "professional": 90},
    "failed_jobs": {"sandbox": 30, "team": 90, "professional": 180},
    # A month at least, because usage is recounted from them.
    "executions": {"sandbox": 40, "team": 90, "professional": 180},
    "events": {"sandbox": 30, "team": 90, "professional": 180},
    "job_logs": {"sandbox": 7, "team": 30, "professional": 90},
    "charges": {"sandbox": 400, "team": 400, "professional": 400},
    "audit": {"sandbox": 400, "team": 400, "professional": 730},
}


def put_retention(apps, schema_editor):
    Plan, PlanLimit = apps.get_model("tenants", "Plan"), apps.get_model("tenants", "PlanLimit")
    alias = schema_editor.connection.alias
    with migration_door(schema_editor):
        plans = {plan.slug: plan for plan in Plan.objects.using(alias).all()}
        PlanLimit.objects.using(alias).bulk_create(
            [
                PlanLimit(plan=plans[slug], key=f"retention.{name}_days", value=days)
                for name, by_plan in RETENTION.items()
                for slug, days in by_plan.items()
                if slug in plans
            ],
            ignore_conflicts=True,
        )


def take_retention(apps, schema_editor):
    PlanLimit = apps.get_model("tenants", "PlanLimit")
    with migration_door(schema_editor):
        PlanLimit.objects.using(schema_editor.connection.alias).filter(
            key__in=[f"retention.{name}_days" for name in RETENTION]
        ).delete()


def put_clock(apps, schema_editor):
    with migration_door(schema_editor):
        apps.get_model("scheduling", "RollupClock").objects.using(schema_editor.connection.alias).create(id=1)


def histogram(help_text=""):
    return django.contrib.postgres.fields.ArrayField(
        base_field=models.IntegerField(), size=None, **({"help_text": help_text} if help_text else {})
    )


def minute_fields():
    return [
        ("minute", models.DateTimeField()),
        ("completed", models.IntegerField(default=0)),
        (
            "failed",
            models.IntegerField(default=0, help_text="By their own fault: failed, timed out, crashed, expired."),
        ),
        ("dead_letters", models.IntegerField(default=0)),
        ("busy_us", models.BigIntegerField(default=0)),
        ("wait", histogram("Histogram of waits until the first start.")),
        ("run", histogram("Histogram of slot times of what completed or failed.")),
    ]


def unconstrained(to, **options):
    return models.ForeignKey(
        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to=to, **options
    )


def composite(*columns):
    return models.CompositePrimaryKey(*columns, blank=True, editable=False, primary_key=True, serialize=False)


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0007_usage"),
        ("tenants", "0003_tiers_and_plans"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.CreateModel(
            name="UpkeepRun",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=64)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("ok", "Ok"),
                            ("partial", "more to do"),
                            ("failed", "Failed"),
                        ],
                        default="running",
                        max_length=10,
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("counts", models.JSONField(default=dict, help_text="What was done, by name.")),
                (
                    "findings",
                    models.JSONField(
                        default=list, help_text="What is wrong, in words; a run with findings has failed."
                    ),
                ),
                ("error", models.TextField(blank=True)),
                ("cursor", models.JSONField(default=dict, help_text="Where the next run goes on.")),
                ("lease_expires_at", models.DateTimeField()),
            ],
            options={
                "db_table": "scheduling_upkeep_run",
                "indexes": [models.Index(fields=["name", "-id"], name="upkeep_run_by_name")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("outcome", "running")), fields=("name",), name="upkeep_one_run_at_a_time"
                    )
                ],
            },
        ),
        EnableRowSecurity("UpkeepRun", column=None, app_may=READ),
        migrations.RunSQL(CREATE_TALLY, "DROP TABLE scheduling_tally"),
        migrations.CreateModel(
            name="Tally",
            fields=[
                ("queue_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=64)),
                ("outcome", models.CharField(max_length=12)),
                ("is_dead", models.BooleanField()),
                (
                    "wait_us",
                    models.BigIntegerField(help_text="From when the job could run to its first start.", null=True),
                ),
                ("started_at", models.DateTimeField(null=True)),
                ("measured_us", models.BigIntegerField()),
                ("ended_at", models.DateTimeField()),
            ],
            options={"db_table": "scheduling_tally", "managed": False},
        ),
        EnableRowSecurity("Tally"),
        migrations.CreateModel(
            name="QueueMinute",
            fields=[
                *minute_fields(),
                ("pk", composite("minute", "queue_id")),
                ("queue", unconstrained("scheduling.queue")),
            ],
            options={"db_table": "scheduling_queue_minute"},
        ),
        EnableRowSecurity("QueueMinute", column=None, app_may=READ),
        migrations.CreateModel(
            name="TenantMinute",
            fields=[
                *minute_fields(),
                ("pk", composite("tenant_id", "minute", "queue_id")),
                ("queue", unconstrained("scheduling.queue")),
                ("tenant", unconstrained("tenants.tenant")),
            ],
            options={
                "db_table": "scheduling_tenant_minute",
                "indexes": [models.Index(fields=["minute"], name="tenant_minute_by_time")],
            },
        ),
        EnableRowSecurity("TenantMinute", app_may=READ),
        migrations.CreateModel(
            name="KindHour",
            fields=[
                ("pk", composite("kind", "hour", "outcome")),
                ("kind", models.CharField(max_length=64)),
                ("hour", models.DateTimeField()),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("timed_out", "Timed Out"),
                            ("yielded", "Yielded"),
                            ("shutdown", "Shutdown"),
                            ("crashed", "Crashed"),
                            ("cancelled", "Cancelled"),
                            ("expired", "Expired"),
                            ("unpublished", "Unpublished"),
                        ],
                        max_length=12,
                    ),
                ),
                ("executions", models.IntegerField(default=0)),
                ("dead_letters", models.IntegerField(default=0)),
                ("worker_us", models.BigIntegerField(default=0)),
                ("wait", histogram()),
                ("run", histogram()),
            ],
            options={
                "db_table": "scheduling_kind_hour",
                "indexes": [models.Index(fields=["hour"], name="kind_hour_by_time")],
            },
        ),
        EnableRowSecurity("KindHour", column=None, app_may=READ),
        migrations.CreateModel(
            name="RollupClock",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                (
                    "counting_since",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("folded_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "scheduling_rollup_clock"},
        ),
        EnableRowSecurity("RollupClock", column=None, app_may=READ),
        *[
            migrations.RunSQL(
                f"ALTER TABLE {table} SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)",
                f"ALTER TABLE {table} RESET (fillfactor, autovacuum_vacuum_scale_factor)",
            )
            for table in ROLLUPS
        ],
        migrations.RunPython(put_clock, migrations.RunPython.noop),
        migrations.AddField(
            model_name="batch",
            name="pruned",
            field=models.PositiveIntegerField(db_default=0, help_text="Ended jobs that are kept no longer."),
        ),
        migrations.AlterField(model_name="charge", name="execution_id", field=models.UUIDField(null=True)),
        migrations.AlterField(
            model_name="charge",
            name="job",
            field=unconstrained("scheduling.job", null=True, related_name="charges"),
        ),
        migrations.AlterField(model_name="charge", name="queue", field=unconstrained("scheduling.queue", null=True)),
        migrations.AlterField(
            model_name="charge",
            name="reason",
            field=models.CharField(
                choices=[
                    ("predicted", "predicted at dispatch"),
                    ("corrected", "corrected to the measured time"),
                    ("closing", "closing of rows that were pruned"),
                ],
                max_length=10,
            ),
        ),
        migrations.RunSQL(DROP_READY_KEY, ADD_READY_KEY),
        migrations.RunPython(put_retention, take_retention),
    ]
