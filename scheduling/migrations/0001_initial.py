"""The tables of the scheduler, and the first pools, queues, routing rules and CFS plans."""

import uuid

import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import tenants.database.ids
from tenants.database.migration_sql import load_migration_sql
from tenants.database.rls import AddCompositeForeignKey, CreatePartitionedModel, EnableRowSecurity

from . import _seeds

READ = ["SELECT"]
APPEND = ["SELECT", "INSERT"]
TENANT_TABLES = [
    "Batch",
    "BatchNews",
    "BulkFormer",
    "BulkOperation",
    "Circuit",
    "CircuitNews",
    "DeadLetter",
    "EventRelay",
    "Job",
    "JobDeadline",
    "JobDue",
    "JobHeld",
    "JobReady",
    "JobSuspended",
    "ResultCacheEntry",
    "LiveExecution",
    "SavedView",
    "Schedule",
    "ScheduleFire",
    "FairShareNode",
    "Settled",
    "SettledRefused",
    "Tally",
    "TenantCapacity",
    "TenantKindCost",
    "Wake",
]
HISTORY_TABLES = ["Charge", "Execution", "JobError", "JobEvent", "JobLog", "TenantUpkeepRun"]
# Numbers of a tenant that only the platform writes.
TENANT_NUMBERS = ["ShareMinute", "TenantGauge", "TenantMinute"]
# Rows of no tenant: everybody reads them, the platform writes them.
SHARED_TABLES = [
    "CFSPlan",
    "CFSPlanTier",
    "Drain",
    "KindCost",
    "KindHour",
    "KindPause",
    "PoolClock",
    "PoolGauge",
    "ProcessHeartbeat",
    "Queue",
    "QueueClock",
    "QueueGauge",
    "QueueMinute",
    "QueueStanding",
    "RollupClock",
    "RoutingRule",
    "RoutingTarget",
    "UpkeepRun",
    "Worker",
    "WorkerPool",
]
# No index of the ready jobs begins with the job, so a key there would slow down every deletion of a job; the check
# `counters` finds what it would refuse.
TABLES_WITH_A_JOB = ["DeadLetter", "JobDeadline", "JobDue", "JobHeld", "LiveExecution"]


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("django_celery_beat", "0019_alter_periodictasks_options"),
        ("tenants", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Settled",
            fields=[
                ("entity_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("queue_id", models.BigIntegerField()),
                (
                    "message_id",
                    models.UUIDField(help_text="Empty: its slot is already free; only its time is folded.", null=True),
                ),
                ("kind", models.CharField(max_length=64)),
                ("predicted_us", models.BigIntegerField()),
                ("whole_us", models.BigIntegerField(null=True)),
                ("measured_us", models.BigIntegerField()),
                ("weight_milli", models.PositiveIntegerField()),
                ("queue_weight_milli", models.PositiveIntegerField()),
                ("is_sample", models.BooleanField(help_text="Whether the job's time trains the predictor.")),
                ("payload_bytes", models.IntegerField()),
                (
                    "used_us",
                    models.BigIntegerField(help_text="Slot time of the whole job so far, this execution's included."),
                ),
                ("peak_memory_kib", models.BigIntegerField(null=True)),
                ("ended_at", models.DateTimeField(help_text="Determines the month of the measured time.")),
            ],
            options={
                "db_table": "scheduling_settled",
                "abstract": False,
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Tally",
            fields=[
                ("queue_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=64)),
                ("outcome", models.CharField(max_length=12)),
                ("is_dead", models.BooleanField()),
                (
                    "wait_us",
                    models.BigIntegerField(help_text="Time from when the job may run to its first start.", null=True),
                ),
                ("started_at", models.DateTimeField(null=True)),
                ("measured_us", models.BigIntegerField()),
                ("ended_at", models.DateTimeField()),
            ],
            options={
                "db_table": "scheduling_tally",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Wake",
            fields=[
                ("entity_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("queue_id", models.BigIntegerField()),
                ("waiting_delta", models.IntegerField()),
                (
                    "is_bulk",
                    models.BooleanField(
                        db_default=False, help_text="Part of a bulk of wakes: folded after the others."
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_wake",
                "abstract": False,
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="KindCost",
            fields=[
                ("mean_us", models.BigIntegerField(verbose_name="mean us")),
                ("samples", models.BigIntegerField(help_text="Number of samples.", verbose_name="samples")),
                ("n", models.FloatField(db_default=1.0, verbose_name="n")),
                ("sum_x", models.FloatField(db_default=0.0, verbose_name="sum x")),
                ("sum_y", models.FloatField(db_default=0.0, verbose_name="sum y")),
                ("sum_xx", models.FloatField(db_default=0.0, verbose_name="sum xx")),
                ("sum_xy", models.FloatField(db_default=0.0, verbose_name="sum xy")),
                ("sum_yy", models.FloatField(db_default=0.0, verbose_name="sum yy")),
                ("least_us", models.FloatField(db_default=0.0, verbose_name="least us")),
                ("most_us", models.FloatField(db_default=0.0, verbose_name="most us")),
                (
                    "error_us",
                    models.FloatField(
                        db_default=0.0, help_text="Sum of |predicted - measured|.", verbose_name="error us"
                    ),
                ),
                (
                    "bias_us",
                    models.FloatField(db_default=0.0, help_text="Sum of predicted - measured.", verbose_name="bias us"),
                ),
                (
                    "total_us",
                    models.FloatField(
                        db_default=0.0, help_text="Sum of measured, the divisor of these two.", verbose_name="total us"
                    ),
                ),
                ("updated_at", models.DateTimeField(null=True, verbose_name="updated at")),
                ("kind", models.CharField(max_length=64, primary_key=True, serialize=False, verbose_name="kind")),
            ],
            options={
                "verbose_name": "cost of a kind",
                "verbose_name_plural": "costs by kind",
                "db_table": "scheduling_kind_cost",
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="KindPause",
            fields=[
                ("kind", models.CharField(max_length=64, primary_key=True, serialize=False, verbose_name="kind")),
                ("reason", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                ("paused_at", models.DateTimeField(auto_now_add=True, verbose_name="paused at")),
                ("paused_by", models.CharField(blank=True, default="", max_length=200, verbose_name="paused by")),
                ("paused_until", models.DateTimeField(blank=True, null=True, verbose_name="paused until")),
            ],
            options={
                "verbose_name": "kind pause",
                "verbose_name_plural": "kind pauses",
            },
        ),
        migrations.CreateModel(
            name="WorkerPool",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "paused_by",
                    models.CharField(blank=True, default="", editable=False, max_length=200, verbose_name="paused by"),
                ),
                ("paused_at", models.DateTimeField(blank=True, editable=False, null=True, verbose_name="paused at")),
                (
                    "paused_until",
                    models.DateTimeField(
                        blank=True,
                        help_text="Resumed automatically at this time; empty: manually.",
                        null=True,
                        verbose_name="paused until",
                    ),
                ),
                ("name", models.SlugField(max_length=40, unique=True, verbose_name="name")),
                ("description", models.CharField(blank=True, max_length=200, verbose_name="description")),
                (
                    "memory_mib",
                    models.PositiveIntegerField(
                        choices=[(256, "small (256 MiB)"), (512, "medium (512 MiB)"), (1024, "large (1,024 MiB)")],
                        db_default=1024,
                        default=1024,
                        help_text="Memory of each child; jobs of kinds that need more are not dispatched here.",
                        verbose_name="memory class",
                    ),
                ),
                ("is_paused", models.BooleanField(default=False, verbose_name="is paused")),
                ("pause_reason", models.CharField(blank=True, default="", max_length=200, verbose_name="pause reason")),
                ("kinds", models.JSONField(editable=False, null=True, verbose_name="kinds")),
                (
                    "unknown_kinds",
                    models.JSONField(
                        db_default=models.Value({}, models.JSONField()),
                        default=dict,
                        editable=False,
                        verbose_name="unknown kinds",
                    ),
                ),
            ],
            options={
                "verbose_name": "worker pool",
                "verbose_name_plural": "worker pools",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="ProcessHeartbeat",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[("dispatcher", "Dispatcher"), ("beat", "Beat"), ("auditor", "Auditor")], max_length=12
                    ),
                ),
                ("hostname", models.CharField(max_length=200)),
                ("pid", models.PositiveIntegerField()),
                ("started_at", models.DateTimeField()),
                ("heartbeat_at", models.DateTimeField()),
                ("clock_skew_seconds", models.FloatField(help_text="Its clock minus the database's.")),
            ],
            options={
                "db_table": "scheduling_process_heartbeat",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Queue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "paused_by",
                    models.CharField(blank=True, default="", editable=False, max_length=200, verbose_name="paused by"),
                ),
                ("paused_at", models.DateTimeField(blank=True, editable=False, null=True, verbose_name="paused at")),
                (
                    "paused_until",
                    models.DateTimeField(
                        blank=True,
                        help_text="Resumed automatically at this time; empty: manually.",
                        null=True,
                        verbose_name="paused until",
                    ),
                ),
                ("name", models.SlugField(max_length=60, unique=True, verbose_name="name")),
                ("description", models.CharField(blank=True, max_length=200, verbose_name="description")),
                (
                    "weight",
                    models.PositiveIntegerField(
                        default=1,
                        help_text="Share of the pool beside its other queues, unless the active CFS plan overrides it.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                        verbose_name="weight",
                    ),
                ),
                (
                    "cap",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Maximum number of messages in flight; empty for no cap of its own.",
                        null=True,
                        verbose_name="cap",
                    ),
                ),
                (
                    "dispatches_per_minute",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Maximum number of dispatched jobs a minute; empty for no limit of its own.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(60000000),
                        ],
                        verbose_name="dispatches per minute",
                    ),
                ),
                (
                    "dispatch_burst",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Maximum burst of dispatched jobs; empty for the jobs of one second, at least two.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000000),
                        ],
                        verbose_name="dispatch burst",
                    ),
                ),
                (
                    "resource_class",
                    models.CharField(
                        choices=[("cpu", "CPU"), ("io", "I/O"), ("cpu+memory", "CPU and memory")],
                        default="cpu",
                        max_length=12,
                        verbose_name="resource class",
                    ),
                ),
                (
                    "expected_seconds",
                    models.FloatField(
                        default=1.0,
                        help_text="Cost assumed for a kind that has not run yet.",
                        validators=[
                            django.core.validators.MinValueValidator(0.001),
                            django.core.validators.MaxValueValidator(86400),
                        ],
                        verbose_name="expected seconds",
                    ),
                ),
                ("is_paused", models.BooleanField(default=False, verbose_name="is paused")),
                ("pause_reason", models.CharField(blank=True, max_length=200, verbose_name="pause reason")),
                (
                    "pool",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="queues",
                        to="scheduling.workerpool",
                        verbose_name="pool",
                    ),
                ),
            ],
            options={
                "verbose_name": "queue",
                "verbose_name_plural": "queues",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="RollupClock",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("folded_at", models.DateTimeField(null=True)),
                ("shares_sampled_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "scheduling_rollup_clock",
            },
        ),
        migrations.CreateModel(
            name="TenantCapacity",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                ("in_flight", models.IntegerField(default=0, verbose_name="in flight")),
            ],
            options={
                "verbose_name": "tenant capacity",
                "verbose_name_plural": "tenant capacitys",
                "db_table": "scheduling_tenant_capacity",
            },
        ),
        migrations.CreateModel(
            name="Batch",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("label", models.CharField(max_length=200, verbose_name="label")),
                (
                    "kind",
                    models.CharField(
                        blank=True,
                        help_text="Kind of its jobs; empty for several kinds.",
                        max_length=64,
                        verbose_name="kind",
                    ),
                ),
                ("total", models.PositiveIntegerField(help_text="Jobs in this batch.", verbose_name="total")),
                (
                    "completed",
                    models.PositiveIntegerField(db_default=0, help_text="Completed jobs.", verbose_name="completed"),
                ),
                (
                    "failed",
                    models.PositiveIntegerField(
                        db_default=0, help_text="Jobs that were discarded or quarantined.", verbose_name="failed"
                    ),
                ),
                (
                    "cancelled",
                    models.PositiveIntegerField(
                        db_default=0, help_text="Jobs that were cancelled.", verbose_name="cancelled"
                    ),
                ),
                (
                    "pruned",
                    models.PositiveIntegerField(
                        db_default=0, help_text="Ended jobs that were pruned.", verbose_name="pruned"
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                (
                    "closed_at",
                    models.DateTimeField(
                        help_text="When it was closed to further jobs.", null=True, verbose_name="closed at"
                    ),
                ),
                (
                    "ended_at",
                    models.DateTimeField(
                        help_text="When it was closed and all its jobs had ended.", null=True, verbose_name="ended at"
                    ),
                ),
                (
                    "cancelled_at",
                    models.DateTimeField(
                        help_text="When it was cancelled as a whole.", null=True, verbose_name="cancelled at"
                    ),
                ),
                (
                    "cancel_reason",
                    models.CharField(blank=True, db_default="", max_length=200, verbose_name="cancel reason"),
                ),
                (
                    "on_completion",
                    models.JSONField(
                        help_text="The job that is submitted when it has ended.",
                        null=True,
                        verbose_name="on completion",
                    ),
                ),
                (
                    "fire_at",
                    models.DateTimeField(
                        help_text="When the submission of that job is due, or retried.",
                        null=True,
                        verbose_name="fire at",
                    ),
                ),
                (
                    "fire_error",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="Why it could not be submitted.",
                        max_length=500,
                        verbose_name="fire error",
                    ),
                ),
                (
                    "fired_job_id",
                    models.UUIDField(
                        help_text="The job that was submitted at its end.", null=True, verbose_name="fired job id"
                    ),
                ),
                (
                    "waiting_job_id",
                    models.UUIDField(
                        help_text="The job that continues when the batch has ended.",
                        null=True,
                        verbose_name="waiting job id",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "batch",
                "verbose_name_plural": "batches",
            },
        ),
        migrations.CreateModel(
            name="BatchNews",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("batch_id", models.UUIDField()),
                ("state", models.CharField(blank=True, max_length=12)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_batch_news",
            },
        ),
        migrations.CreateModel(
            name="BulkOperation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                (
                    "operation",
                    models.CharField(
                        choices=[
                            ("cancel", "cancel"),
                            ("retry", "retry"),
                            ("requeue", "requeue dead letters"),
                            ("discard", "discard"),
                            ("reprioritise", "change the priority"),
                            ("move_queue", "move to another queue"),
                            ("reroute", "move to the queues of the current routing"),
                        ],
                        max_length=12,
                        verbose_name="operation",
                    ),
                ),
                (
                    "parameters",
                    models.JSONField(
                        default=dict,
                        help_text="New priority or queue of the jobs.",
                        verbose_name="parameters",
                    ),
                ),
                ("filter", models.TextField(help_text="The filter as frozen at the start.", verbose_name="filter")),
                (
                    "asked_filter",
                    models.TextField(help_text="The filter as requested.", verbose_name="requested filter"),
                ),
                (
                    "frozen_at",
                    models.DateTimeField(help_text="Jobs submitted later are not changed.", verbose_name="frozen at"),
                ),
                (
                    "newest_id",
                    models.UUIDField(
                        help_text="The greatest id at the start; empty without a job.",
                        null=True,
                        verbose_name="newest id",
                    ),
                ),
                (
                    "expected",
                    models.PositiveIntegerField(
                        help_text="Jobs that matched at the start, counted up to a limit.",
                        verbose_name="expected",
                    ),
                ),
                (
                    "is_expected_capped",
                    models.BooleanField(
                        default=False, help_text="Whether more may have matched.", verbose_name="is expected capped"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("running", "running"),
                            ("completed", "completed"),
                            ("aborted", "aborted"),
                            ("failed", "failed"),
                        ],
                        default="pending",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                (
                    "seen",
                    models.PositiveBigIntegerField(
                        default=0, help_text="Matching jobs processed so far.", verbose_name="seen"
                    ),
                ),
                (
                    "changed",
                    models.PositiveBigIntegerField(default=0, help_text="Jobs changed so far.", verbose_name="changed"),
                ),
                (
                    "ineligible",
                    models.JSONField(
                        default=dict,
                        help_text="Jobs that could not be changed, by reason.",
                        verbose_name="ineligible",
                    ),
                ),
                (
                    "changed_by_tenant",
                    models.JSONField(default=dict, help_text="For the audit log.", verbose_name="changed by tenant"),
                ),
                (
                    "payload_patch",
                    models.JSONField(
                        help_text="Merged into the payload of each job that is replayed.",
                        null=True,
                        verbose_name="payload patch",
                    ),
                ),
                (
                    "position",
                    models.JSONField(default=dict, help_text="Start of the next turn.", verbose_name="position"),
                ),
                (
                    "batch_id",
                    models.UUIDField(
                        help_text="The batch that is cancelled by it.", null=True, verbose_name="batch id"
                    ),
                ),
                (
                    "resume_at",
                    models.DateTimeField(
                        help_text="When it resumes after reaching a limit.", null=True, verbose_name="resume at"
                    ),
                ),
                (
                    "failures",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="Consecutive failed turns.", verbose_name="failures"
                    ),
                ),
                ("error", models.CharField(blank=True, default="", max_length=500, verbose_name="error")),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                ("actor_kind", models.CharField(max_length=20, verbose_name="actor kind")),
                ("actor_id", models.CharField(blank=True, max_length=64, verbose_name="actor id")),
                ("actor_label", models.CharField(blank=True, max_length=200, verbose_name="actor label")),
                ("request_id", models.CharField(blank=True, max_length=64, verbose_name="request id")),
                ("is_actor_of_tenant", models.BooleanField(default=False, verbose_name="is actor of tenant")),
                (
                    "may_use_secrets",
                    models.BooleanField(
                        default=True,
                        help_text="Whether its actor had the permission at the start.",
                        verbose_name="may use secrets",
                    ),
                ),
                (
                    "may_manage_webhooks",
                    models.BooleanField(
                        default=True, help_text="The same for webhooks.", verbose_name="may manage webhooks"
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                ("started_at", models.DateTimeField(null=True, verbose_name="started at")),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished at")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "undo_of",
                    models.OneToOneField(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="undone_by",
                        to="scheduling.bulkoperation",
                        verbose_name="undo of",
                    ),
                ),
            ],
            options={
                "verbose_name": "bulk operation",
                "verbose_name_plural": "bulk operations",
                "db_table": "scheduling_bulk_operation",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="BulkFormer",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("job_ids", django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), size=None)),
                ("formers", django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "operation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="formers",
                        to="scheduling.bulkoperation",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_bulk_former",
            },
        ),
        migrations.CreateModel(
            name="CFSPlan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "version",
                    models.PositiveIntegerField(
                        db_default=1,
                        default=1,
                        editable=False,
                        help_text="Number of the version in effect.",
                        verbose_name="version",
                    ),
                ),
                ("name", models.CharField(max_length=60, unique=True, verbose_name="name")),
                (
                    "strategy",
                    models.CharField(
                        choices=[
                            ("nop", "Off: every queue in order of arrival"),
                            ("time_slice", "Fair order with time slices"),
                        ],
                        default="time_slice",
                        max_length=12,
                        verbose_name="strategy",
                    ),
                ),
                (
                    "granularity_seconds",
                    models.PositiveIntegerField(
                        default=120,
                        help_text="Length of a time slice; after it, a running job may be requested to yield.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(86400),
                        ],
                        verbose_name="time slice (s)",
                    ),
                ),
                (
                    "reserved_slots",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Slots reserved for tenants below their share.",
                        verbose_name="reserved slots",
                    ),
                ),
                ("is_active", models.BooleanField(default=False, verbose_name="is active")),
                ("updated_at", models.DateTimeField(auto_now=True, verbose_name="updated at")),
            ],
            options={
                "verbose_name": "CFS plan",
                "verbose_name_plural": "CFS plans",
                "ordering": ["name"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_active", True)), fields=("is_active",), name="one_active_cfs_plan"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="CFSPlanVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("author", models.CharField(blank=True, max_length=200)),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("content", models.JSONField()),
                ("before", models.JSONField()),
                ("after", models.JSONField()),
                ("effective_from", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("waiting", "scheduled"),
                            ("applied", "took effect"),
                            ("withdrawn", "withdrawn"),
                            ("refused", "refused when due"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("outcome_at", models.DateTimeField(null=True)),
                ("outcome_note", models.CharField(blank=True, max_length=500)),
                (
                    "plan",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="scheduling.cfsplan",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_cfs_plan_version",
                "ordering": ["-number"],
            },
        ),
        migrations.CreateModel(
            name="Circuit",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False, verbose_name="id")),
                ("kind", models.CharField(max_length=64, verbose_name="kind")),
                (
                    "dependency",
                    models.CharField(
                        blank=True,
                        help_text="The dependency; empty: the kind itself.",
                        max_length=200,
                        verbose_name="dependency",
                    ),
                ),
                (
                    "holds_all",
                    models.BooleanField(
                        help_text="Every job of the kind needs it; otherwise only the jobs that have used it.",
                        verbose_name="holds all",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("counting", "counting failures"),
                            ("open", "open"),
                            ("half_open", "half open: one job probes"),
                            ("closing", "closing: its jobs are released"),
                            ("forced_open", "forced open"),
                            ("forced_closed", "forced closed"),
                        ],
                        max_length=13,
                        verbose_name="state",
                    ),
                ),
                (
                    "failures",
                    models.PositiveIntegerField(
                        help_text="Consecutive failures; without a dependency, those of one error fingerprint.",
                        verbose_name="failures",
                    ),
                ),
                (
                    "tenants",
                    models.JSONField(
                        default=dict,
                        help_text="Failures by tenant, if the breaker is shared.",
                        verbose_name="tenants",
                    ),
                ),
                ("fingerprint", models.CharField(max_length=16, verbose_name="fingerprint")),
                ("error_type", models.CharField(max_length=100, verbose_name="error type")),
                ("error_message", models.CharField(max_length=200, verbose_name="error message")),
                (
                    "counted_from",
                    models.DateTimeField(
                        help_text="Time of the first of the consecutive failures.", verbose_name="counted from"
                    ),
                ),
                ("opened_at", models.DateTimeField(null=True, verbose_name="opened at")),
                (
                    "until",
                    models.DateTimeField(
                        help_text="When one job probes next, or the forced state ends.",
                        null=True,
                        verbose_name="until",
                    ),
                ),
                (
                    "probe_job_id",
                    models.UUIDField(help_text="The probing job.", null=True, verbose_name="probe job id"),
                ),
                (
                    "probe_tenant_id",
                    models.UUIDField(
                        help_text="Tenant of the current or last probe; another tenant's job probes next.",
                        null=True,
                        verbose_name="probe tenant id",
                    ),
                ),
                (
                    "forced_by",
                    models.CharField(blank=True, help_text="Who forced it.", max_length=200, verbose_name="forced by"),
                ),
                (
                    "forced_reason",
                    models.CharField(
                        blank=True,
                        help_text="Reason of the forced state.",
                        max_length=200,
                        verbose_name="forced reason",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The affected tenant; empty: all tenants.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "circuit breaker",
                "verbose_name_plural": "circuit breakers",
                "db_table": "scheduling_circuit_breaker",
            },
        ),
        migrations.CreateModel(
            name="CircuitNews",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=64)),
                ("dependency", models.CharField(blank=True, db_default="", max_length=200)),
                (
                    "is_shared",
                    models.BooleanField(db_default=False, help_text="Counts for the shared breaker too."),
                ),
                ("job_id", models.UUIDField()),
                (
                    "fingerprint",
                    models.CharField(help_text="Fingerprint of the error; empty for a success.", max_length=16),
                ),
                ("error_type", models.CharField(max_length=100)),
                ("error_message", models.CharField(max_length=200)),
                (
                    "retry_after_seconds",
                    models.FloatField(help_text="Wait that the dependency has requested.", null=True),
                ),
                ("at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_circuit_news",
            },
        ),
        migrations.CreateModel(
            name="Drain",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "scope",
                    models.CharField(choices=[("queue", "Queue"), ("kind", "Kind"), ("pool", "Pool")], max_length=5),
                ),
                ("name", models.CharField(max_length=64)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("started_by", models.CharField(blank=True, max_length=200)),
                ("started_at", models.DateTimeField()),
                ("until", models.DateTimeField(blank=True, null=True)),
                ("drained_at", models.DateTimeField(blank=True, help_text="When no jobs were left.", null=True)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("scope", "name"), name="drain_scope_name")],
            },
        ),
        migrations.CreateModel(
            name="EventRelay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("settled", models.BigIntegerField()),
                ("until", models.BigIntegerField(help_text="Empty while nothing is being delivered.", null=True)),
                (
                    "event_id",
                    models.UUIDField(
                        default=uuid.UUID("00000000-0000-0000-0000-000000000000"),
                        help_text="The last delivered event of these.",
                    ),
                ),
                (
                    "target_id",
                    models.UUIDField(
                        default=uuid.UUID("00000000-0000-0000-0000-000000000000"),
                        help_text="Its last subscriber with a delivery.",
                    ),
                ),
                ("since", models.DateTimeField(help_text="Lower bound of the times of undelivered events.")),
                (
                    "due_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="When delivery to a tenant that is behind continues.",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_event_relay",
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("kind", models.CharField(max_length=64, verbose_name="kind")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("scheduled", "scheduled"),
                            ("available", "available"),
                            ("dispatched", "dispatched"),
                            ("executing", "executing"),
                            ("retryable", "retryable"),
                            ("suspended", "suspended"),
                            ("completed", "completed"),
                            ("cancelled", "cancelled"),
                            ("discarded", "discarded"),
                            ("quarantined", "quarantined"),
                        ],
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                (
                    "priority",
                    models.SmallIntegerField(
                        default=0,
                        help_text="Orders this tenant's own jobs only; higher runs earlier.",
                        verbose_name="priority",
                    ),
                ),
                (
                    "rank",
                    models.BigIntegerField(
                        help_text="Microseconds: available time less priority × AGEING_SECONDS; fixed at submit.",
                        verbose_name="rank",
                    ),
                ),
                ("fair_key", models.CharField(blank=True, max_length=100, verbose_name="fair key")),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        blank=True,
                        default=list,
                        size=None,
                        verbose_name="tags",
                    ),
                ),
                ("payload", models.JSONField(default=dict, verbose_name="payload")),
                (
                    "payload_bytes",
                    models.IntegerField(
                        db_default=0, help_text="Input of the cost prediction.", verbose_name="payload bytes"
                    ),
                ),
                (
                    "payload_hash",
                    models.BinaryField(
                        help_text="SHA-256 of the whole request.", max_length=32, verbose_name="payload hash"
                    ),
                ),
                (
                    "idempotency_key",
                    models.CharField(blank=True, max_length=200, null=True, verbose_name="idempotency key"),
                ),
                (
                    "attempt",
                    models.PositiveSmallIntegerField(default=0, help_text="Failed attempts.", verbose_name="attempt"),
                ),
                ("crash_count", models.PositiveSmallIntegerField(default=0, verbose_name="crash count")),
                (
                    "merge_disabled",
                    models.BooleanField(
                        db_default=False,
                        editable=False,
                        help_text="Whether a message with this job killed a worker. Such a job is sent in a message of its own.",
                        verbose_name="shares no message",
                    ),
                ),
                ("execution_count", models.PositiveIntegerField(default=0, verbose_name="execution count")),
                (
                    "yield_count",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Number of time slices after which it yielded its slot.",
                        verbose_name="yield count",
                    ),
                ),
                ("max_retries", models.PositiveSmallIntegerField(default=3, verbose_name="max retries")),
                ("fence", models.BigIntegerField(default=0, verbose_name="fence")),
                (
                    "used_us",
                    models.BigIntegerField(
                        db_default=0,
                        help_text="Slot time of finished work that will not be repeated.",
                        verbose_name="used us",
                    ),
                ),
                ("progress_current", models.BigIntegerField(default=0, verbose_name="progress current")),
                ("progress_total", models.BigIntegerField(default=0, verbose_name="progress total")),
                ("progress_message", models.CharField(blank=True, max_length=200, verbose_name="progress message")),
                ("checkpoint", models.JSONField(blank=True, default=dict, verbose_name="checkpoint")),
                (
                    "dependencies",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        editable=False,
                        help_text="Dependencies that its last execution used; empty before the first.",
                        null=True,
                        size=None,
                        verbose_name="dependencies",
                    ),
                ),
                (
                    "shared_dependencies",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        editable=False,
                        help_text="Those of them that all tenants share.",
                        null=True,
                        size=None,
                        verbose_name="shared dependencies",
                    ),
                ),
                ("result", models.JSONField(blank=True, null=True, verbose_name="result")),
                ("error_type", models.CharField(blank=True, max_length=100, verbose_name="error type")),
                ("error_message", models.TextField(blank=True, verbose_name="error message")),
                ("error_fingerprint", models.CharField(blank=True, max_length=16, verbose_name="error fingerprint")),
                ("run_at", models.DateTimeField(help_text="Not started before this time.", verbose_name="run at")),
                ("deadline_at", models.DateTimeField(blank=True, null=True, verbose_name="deadline at")),
                (
                    "traceparent",
                    models.CharField(
                        blank=True,
                        editable=False,
                        help_text="W3C trace context of the submission.",
                        max_length=55,
                        null=True,
                        verbose_name="traceparent",
                    ),
                ),
                ("created_at", models.DateTimeField(verbose_name="created at")),
                (
                    "started_at",
                    models.DateTimeField(blank=True, help_text="First start.", null=True, verbose_name="started at"),
                ),
                ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished at")),
                (
                    "batch",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="jobs",
                        to="scheduling.batch",
                        verbose_name="batch",
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="children",
                        to="scheduling.job",
                        verbose_name="parent",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="scheduling.queue",
                        verbose_name="queue",
                    ),
                ),
            ],
            options={
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
            },
        ),
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("kind", models.CharField(max_length=64, verbose_name="kind")),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("permanent_error", "permanent error"),
                            ("attempts_exhausted", "attempts exhausted"),
                            ("deadline_passed", "deadline passed"),
                            ("retry_past_deadline", "its retry would start after its deadline"),
                            ("crashed_workers", "crashed its workers"),
                            ("discarded", "discarded by a person"),
                        ],
                        max_length=20,
                        verbose_name="reason",
                    ),
                ),
                ("error_type", models.CharField(blank=True, max_length=100, verbose_name="error type")),
                ("error_message", models.TextField(blank=True, verbose_name="error message")),
                ("error_fingerprint", models.CharField(blank=True, max_length=16, verbose_name="error fingerprint")),
                ("created_at", models.DateTimeField(verbose_name="created at")),
                ("requeued_at", models.DateTimeField(blank=True, null=True, verbose_name="requeued at")),
                ("requeued_job_id", models.UUIDField(blank=True, null=True, verbose_name="requeued job id")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "job",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="dead_letter",
                        to="scheduling.job",
                        verbose_name="job",
                    ),
                ),
            ],
            options={
                "verbose_name": "dead letter",
                "verbose_name_plural": "dead letters",
            },
        ),
        migrations.CreateModel(
            name="JobDeadline",
            fields=[
                ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                ("deadline_at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_job_deadline",
            },
        ),
        migrations.CreateModel(
            name="JobDue",
            fields=[
                ("entity_id", models.BigIntegerField()),
                ("kind", models.CharField(max_length=64)),
                ("rank", models.BigIntegerField()),
                ("payload_bytes", models.IntegerField(db_default=0)),
                ("used_us", models.BigIntegerField(db_default=0)),
                ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                ("due_at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_job_due",
            },
        ),
        CreatePartitionedModel(
            name="JobError",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("execution_id", models.UUIDField(help_text="None if the job had not started.", null=True)),
                ("kind", models.CharField(max_length=64)),
                ("error_type", models.CharField(max_length=100)),
                (
                    "error_message",
                    models.CharField(help_text="Its beginning; the execution has the whole text.", max_length=500),
                ),
                ("error_fingerprint", models.CharField(max_length=16)),
                ("at", models.DateTimeField()),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="%(class)ss",
                        to="scheduling.job",
                        verbose_name="job",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "error",
            },
        ),
        CreatePartitionedModel(
            name="JobEvent",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("execution_id", models.UUIDField(null=True, verbose_name="execution id")),
                ("at", models.DateTimeField(verbose_name="at")),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("scheduled", "scheduled"),
                            ("available", "available"),
                            ("dispatched", "dispatched"),
                            ("executing", "executing"),
                            ("retryable", "retryable"),
                            ("suspended", "suspended"),
                            ("completed", "completed"),
                            ("cancelled", "cancelled"),
                            ("discarded", "discarded"),
                            ("quarantined", "quarantined"),
                        ],
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                ("actor", models.CharField(max_length=200, verbose_name="actor")),
                ("request_id", models.CharField(blank=True, max_length=64, verbose_name="request id")),
                ("data", models.JSONField(default=dict, verbose_name="data")),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="%(class)ss",
                        to="scheduling.job",
                        verbose_name="job",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "job event",
                "verbose_name_plural": "job events",
            },
        ),
        migrations.CreateModel(
            name="JobHeld",
            fields=[
                ("entity_id", models.BigIntegerField()),
                ("kind", models.CharField(max_length=64)),
                ("rank", models.BigIntegerField()),
                ("payload_bytes", models.IntegerField(db_default=0)),
                ("used_us", models.BigIntegerField(db_default=0)),
                ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                ("merge_disabled", models.BooleanField(db_default=False)),
                ("gate", models.CharField(db_default="kind", max_length=40)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_job_held",
            },
        ),
        CreatePartitionedModel(
            name="JobLog",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("execution_id", models.UUIDField()),
                ("attempt", models.PositiveSmallIntegerField()),
                (
                    "level",
                    models.PositiveSmallIntegerField(
                        choices=[(10, "debug"), (20, "info"), (30, "warning"), (40, "error")]
                    ),
                ),
                ("message", models.TextField()),
                ("fields", models.JSONField(default=dict)),
                ("at", models.DateTimeField(help_text="By the worker's clock.")),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="%(class)ss",
                        to="scheduling.job",
                        verbose_name="job",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="JobLogTally",
            fields=[
                ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "offered_bytes",
                    models.BigIntegerField(help_text="Bytes of all lines, dropped ones included."),
                ),
                ("dropped_lines", models.BigIntegerField(default=0)),
                ("full_line_id", models.UUIDField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="JobReady",
            fields=[
                ("entity_id", models.BigIntegerField()),
                ("kind", models.CharField(max_length=64)),
                ("rank", models.BigIntegerField()),
                ("payload_bytes", models.IntegerField(db_default=0)),
                ("used_us", models.BigIntegerField(db_default=0)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "entity_id", "rank", "job_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("job_id", models.UUIDField()),
                ("merge_disabled", models.BooleanField(db_default=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_job_ready",
            },
        ),
        migrations.CreateModel(
            name="JobSuspended",
            fields=[
                ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                ("is_own", models.BooleanField(db_default=False)),
                ("wake_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_job_suspended",
            },
        ),
        migrations.CreateModel(
            name="ResultCacheEntry",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=64)),
                ("job_id", models.UUIDField()),
                ("expires_at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_result_cache_entry",
            },
        ),
        migrations.CreateModel(
            name="KindHour",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "kind", "hour", "outcome", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
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
                            ("returned", "Returned"),
                            ("snoozed", "Snoozed"),
                            ("put_off", "Put Off"),
                        ],
                        max_length=12,
                    ),
                ),
                ("executions", models.IntegerField(default=0)),
                ("dead_letters", models.IntegerField(default=0)),
                ("worker_us", models.BigIntegerField(default=0)),
                ("wait", django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ("run", django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
            ],
            options={
                "db_table": "scheduling_kind_hour",
                "indexes": [models.Index(fields=["hour"], name="kind_hour_by_time")],
            },
        ),
        migrations.CreateModel(
            name="PoolClock",
            fields=[
                (
                    "pool",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="clock",
                        serialize=False,
                        to="scheduling.workerpool",
                    ),
                ),
                ("virtual_time", models.BigIntegerField(default=0)),
                ("ticked_at", models.DateTimeField(null=True)),
                (
                    "broker_away_at",
                    models.DateTimeField(help_text="Last report of a dispatcher; a tick clears it.", null=True),
                ),
                (
                    "publish_failed_at",
                    models.DateTimeField(
                        help_text="When the broker last refused a message of this pool; no tick clears it.", null=True
                    ),
                ),
                ("publish_fault", models.CharField(blank=True, db_default="", default="", max_length=200)),
                (
                    "locked_tenants",
                    models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict, editable=False),
                ),
            ],
            options={
                "db_table": "scheduling_pool_clock",
            },
        ),
        migrations.CreateModel(
            name="PoolGauge",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "minute", "pool_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("slots", models.IntegerField(default=0)),
                ("slots_milli", models.BigIntegerField(default=0, help_text="Slots in use, in thousandths.")),
                ("sampled_at", models.DateTimeField()),
                (
                    "pool",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.workerpool",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_pool_gauge",
            },
        ),
        migrations.CreateModel(
            name="QueueClock",
            fields=[
                (
                    "queue",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="clock",
                        serialize=False,
                        to="scheduling.queue",
                    ),
                ),
                ("vruntime", models.BigIntegerField(default=0)),
                ("virtual_time", models.BigIntegerField(default=0)),
                ("floor", models.BigIntegerField(default=0)),
                ("was_backlogged", models.BooleanField(default=False)),
                (
                    "arrival_us",
                    models.BigIntegerField(
                        db_default=0, help_text="Theoretical arrival time of its rate, microseconds since 1970."
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_queue_clock",
            },
        ),
        migrations.CreateModel(
            name="QueueStanding",
            fields=[
                (
                    "queue",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="standing",
                        serialize=False,
                        to="scheduling.queue",
                    ),
                ),
                (
                    "work_us",
                    models.BigIntegerField(
                        default=0, help_text="Work that waits for its pool, if a rule balances by it."
                    ),
                ),
                ("slots", models.IntegerField(default=0, help_text="Slots of the live workers that consume it.")),
                ("unread_since", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "scheduling_queue_standing",
            },
        ),
        migrations.CreateModel(
            name="LiveExecution",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("entity_id", models.BigIntegerField(verbose_name="entity id")),
                ("kind", models.CharField(max_length=64, verbose_name="kind")),
                (
                    "number",
                    models.PositiveIntegerField(
                        help_text="Number of this dispatch of the job, from 1.", verbose_name="number"
                    ),
                ),
                (
                    "message_id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        help_text="The message that contains it; small jobs share one, and its slot.",
                        verbose_name="message id",
                    ),
                ),
                (
                    "token",
                    models.UUIDField(
                        help_text="Dispatch token; only the latest message contains it.", verbose_name="token"
                    ),
                ),
                ("fence", models.BigIntegerField(default=0, verbose_name="fence")),
                (
                    "predicted_us",
                    models.BigIntegerField(
                        help_text="Charged at dispatch, corrected at the end.", verbose_name="predicted us"
                    ),
                ),
                (
                    "whole_us",
                    models.BigIntegerField(
                        help_text="Predicted for the whole job, if it differs from the charge.",
                        null=True,
                        verbose_name="whole us",
                    ),
                ),
                (
                    "weight_milli",
                    models.PositiveIntegerField(
                        help_text="The tenant's weight when this was charged.", verbose_name="weight milli"
                    ),
                ),
                (
                    "queue_weight_milli",
                    models.PositiveIntegerField(
                        help_text="The queue's weight when this was charged.", verbose_name="queue weight milli"
                    ),
                ),
                ("dispatched_at", models.DateTimeField(verbose_name="dispatched at")),
                ("published_at", models.DateTimeField(verbose_name="published at")),
                ("started_at", models.DateTimeField(null=True, verbose_name="started at")),
                ("worker_id", models.UUIDField(null=True, verbose_name="worker id")),
                ("lease_expires_at", models.DateTimeField(null=True, verbose_name="lease expires at")),
                ("cancel_requested_at", models.DateTimeField(null=True, verbose_name="cancel requested at")),
                (
                    "yield_requested_at",
                    models.DateTimeField(
                        help_text="Its time slice is used up, and a job with less virtual time waits for the slot.",
                        null=True,
                        verbose_name="yield requested at",
                    ),
                ),
                (
                    "wake_requested_at",
                    models.DateTimeField(
                        help_text=(
                            "The event that it is about to wait for has come: it continues instead of being suspended."
                        ),
                        null=True,
                        verbose_name="wake requested at",
                    ),
                ),
                (
                    "job",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="live_execution",
                        to="scheduling.job",
                        verbose_name="job",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "pool",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.workerpool",
                        verbose_name="pool",
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.queue",
                        verbose_name="queue",
                    ),
                ),
            ],
            options={
                "verbose_name": "live execution",
                "verbose_name_plural": "live executions",
                "db_table": "scheduling_execution_live",
            },
        ),
        CreatePartitionedModel(
            name="Execution",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("kind", models.CharField(max_length=64, verbose_name="kind")),
                ("number", models.PositiveIntegerField(verbose_name="number")),
                ("fence", models.BigIntegerField(verbose_name="fence")),
                ("worker_id", models.UUIDField(null=True, verbose_name="worker id")),
                (
                    "outcome",
                    models.CharField(
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
                            ("returned", "Returned"),
                            ("snoozed", "Snoozed"),
                            ("put_off", "Put Off"),
                        ],
                        max_length=12,
                        verbose_name="outcome",
                    ),
                ),
                ("predicted_us", models.BigIntegerField(verbose_name="predicted us")),
                (
                    "measured_us",
                    models.BigIntegerField(
                        help_text="Slot time from start to end, microseconds.", verbose_name="measured us"
                    ),
                ),
                (
                    "peak_memory_kib",
                    models.BigIntegerField(
                        help_text="Peak resident memory of its process, KiB; empty if unknown.",
                        null=True,
                        verbose_name="peak memory kib",
                    ),
                ),
                ("dispatched_at", models.DateTimeField(verbose_name="dispatched at")),
                ("started_at", models.DateTimeField(null=True, verbose_name="started at")),
                ("ended_at", models.DateTimeField(verbose_name="ended at")),
                ("error_type", models.CharField(blank=True, max_length=100, verbose_name="error type")),
                ("error_message", models.TextField(blank=True, verbose_name="error message")),
                ("traceback", models.TextField(blank=True, verbose_name="traceback")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="%(class)ss",
                        to="scheduling.job",
                        verbose_name="job",
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.queue",
                        verbose_name="queue",
                    ),
                ),
            ],
            options={
                "verbose_name": "execution",
                "verbose_name_plural": "executions",
            },
        ),
        CreatePartitionedModel(
            name="Charge",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("execution_id", models.UUIDField(null=True, verbose_name="execution id")),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("predicted", "predicted at dispatch"),
                            ("slice", "further time slice"),
                            ("corrected", "corrected to the measured time"),
                            ("closing", "balance of pruned rows"),
                        ],
                        max_length=10,
                        verbose_name="reason",
                    ),
                ),
                ("microseconds", models.BigIntegerField(verbose_name="microseconds")),
                ("at", models.DateTimeField(verbose_name="at")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="charges",
                        to="scheduling.job",
                        verbose_name="job",
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.queue",
                        verbose_name="queue",
                    ),
                ),
            ],
            options={
                "verbose_name": "charge",
                "verbose_name_plural": "charges",
            },
        ),
        migrations.CreateModel(
            name="CFSPlanTier",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "weight",
                    models.PositiveIntegerField(
                        default=1,
                        help_text="Overrides the queue's own weight while this plan is active.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                        verbose_name="weight",
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tiers",
                        to="scheduling.cfsplan",
                        verbose_name="plan",
                    ),
                ),
                (
                    "tier",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, to="tenants.tier", verbose_name="tier"
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, to="scheduling.queue", verbose_name="queue"
                    ),
                ),
            ],
            options={
                "verbose_name": "tier row",
                "verbose_name_plural": "tier rows",
                "ordering": ["tier__rank"],
            },
        ),
        migrations.CreateModel(
            name="QueueGauge",
            fields=[
                ("minute", models.DateTimeField()),
                ("waiting", models.IntegerField(default=0, help_text="Ready, due and held jobs.")),
                (
                    "oldest_at",
                    models.DateTimeField(
                        help_text="Time since which the longest-waiting ready job may run.", null=True
                    ),
                ),
                (
                    "backing_off",
                    models.IntegerField(default=0, help_text="Jobs in backoff, among the soonest."),
                ),
                ("due", models.IntegerField(default=0, help_text="Those of them that are due.")),
                ("next_due_at", models.DateTimeField(null=True)),
                ("dispatched", models.IntegerField(default=0, help_text="Dispatched and not started.")),
                ("executing", models.IntegerField(default=0)),
                ("slots_milli", models.BigIntegerField(default=0, help_text="Slots in use, in thousandths.")),
                ("sampled_at", models.DateTimeField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "minute", "queue_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.queue",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_queue_gauge",
            },
        ),
        migrations.CreateModel(
            name="QueueMinute",
            fields=[
                ("minute", models.DateTimeField()),
                ("completed", models.IntegerField(default=0)),
                (
                    "failed",
                    models.IntegerField(
                        default=0, help_text="Failures of the jobs themselves: failed, timed out, crashed, expired."
                    ),
                ),
                ("dead_letters", models.IntegerField(default=0)),
                ("busy_us", models.BigIntegerField(default=0)),
                (
                    "wait",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(),
                        help_text="Histogram of waits until the first start.",
                        size=None,
                    ),
                ),
                (
                    "run",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(),
                        help_text="Histogram of slot times of completed and failed executions.",
                        size=None,
                    ),
                ),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "minute", "queue_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.queue",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_queue_minute",
            },
        ),
        migrations.CreateModel(
            name="RoutingRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "position",
                    models.PositiveIntegerField(
                        help_text="Rules are evaluated from the lowest position up.",
                        unique=True,
                        verbose_name="position",
                    ),
                ),
                (
                    "kind",
                    models.CharField(blank=True, help_text="Empty for every kind.", max_length=64, verbose_name="kind"),
                ),
                (
                    "condition",
                    models.JSONField(
                        blank=True,
                        help_text=(
                            'On the payload, such as {"field": "pages", "op": "gt", "value": 100}, or a '
                            "list of conditions that must all hold."
                        ),
                        null=True,
                        verbose_name="condition",
                    ),
                ),
                (
                    "by_tier",
                    models.BooleanField(
                        default=False,
                        help_text="Send to the queue that the active CFS plan names for the tier.",
                        verbose_name="by tier",
                    ),
                ),
                (
                    "balance",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "One queue"),
                            ("weighted", "Several queues, by weight"),
                            ("least_loaded", "Several queues, the one with the least waiting work per live slot"),
                        ],
                        db_default="",
                        default="",
                        help_text="How a rule without a queue of its own spreads its jobs over the queues below.",
                        max_length=12,
                        verbose_name="balance",
                    ),
                ),
                (
                    "allows_queue_choice",
                    models.BooleanField(
                        default=False,
                        help_text="Whether a tenant may choose one of this kind's queues.",
                        verbose_name="allows queue choice",
                    ),
                ),
                ("is_active", models.BooleanField(default=True, verbose_name="is active")),
                (
                    "queue",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="scheduling.queue",
                        verbose_name="queue",
                    ),
                ),
                (
                    "tier",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty for every tier.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="tenants.tier",
                        verbose_name="tier",
                    ),
                ),
            ],
            options={
                "verbose_name": "routing rule",
                "verbose_name_plural": "routing rules",
                "ordering": ["position"],
            },
        ),
        migrations.CreateModel(
            name="RoutingTarget",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "weight",
                    models.PositiveIntegerField(
                        default=1,
                        help_text="Used by the balance “weighted”.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                        verbose_name="weight",
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="scheduling.queue",
                        verbose_name="queue",
                    ),
                ),
                (
                    "rule",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="targets",
                        to="scheduling.routingrule",
                        verbose_name="rule",
                    ),
                ),
            ],
            options={
                "verbose_name": "routing target",
                "verbose_name_plural": "routing targets",
                "db_table": "scheduling_routing_target",
                "ordering": ["queue__name"],
            },
        ),
        migrations.CreateModel(
            name="SavedView",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=60)),
                ("query", models.TextField(help_text="The filter's canonical text.")),
                ("is_shared", models.BooleanField(default=False)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_saved_view",
            },
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="Display name; unique in the tenant.", max_length=100, verbose_name="name"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        help_text="The kind of the jobs that it submits.", max_length=64, verbose_name="kind"
                    ),
                ),
                (
                    "payload",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="A JSON object by the kind's own schema.",
                        verbose_name="payload",
                    ),
                ),
                (
                    "priority",
                    models.SmallIntegerField(
                        default=0,
                        help_text="Orders this tenant's own jobs only; higher runs earlier.",
                        verbose_name="priority",
                    ),
                ),
                (
                    "queue",
                    models.CharField(
                        blank=True,
                        help_text="Empty: the queue of the kind's routing.",
                        max_length=60,
                        verbose_name="queue",
                    ),
                ),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        blank=True,
                        default=list,
                        help_text="Labels, comma-separated.",
                        size=None,
                        verbose_name="tags",
                    ),
                ),
                (
                    "fair_key",
                    models.CharField(
                        blank=True,
                        help_text="Key within the tenant; slots are shared fairly between keys.",
                        max_length=100,
                        verbose_name="fair key",
                    ),
                ),
                (
                    "max_retries",
                    models.PositiveSmallIntegerField(
                        blank=True, help_text="Empty: the kind's default.", null=True, verbose_name="max retries"
                    ),
                ),
                (
                    "cron",
                    models.CharField(
                        help_text="Five fields: minute, hour, day of month, month, day of week, such as 30 2 * * MON.",
                        max_length=200,
                        verbose_name="cron",
                    ),
                ),
                (
                    "timezone",
                    models.CharField(
                        default="UTC",
                        help_text="An IANA name such as Europe/Berlin.",
                        max_length=64,
                        verbose_name="timezone",
                    ),
                ),
                (
                    "dst_policy",
                    models.CharField(
                        choices=[
                            ("standard", "standard: fixed times run once, intervals keep their pace"),
                            ("first", "first: a missing time runs after the gap, a repeated one the first time"),
                            ("second", "second: a missing time runs after the gap, a repeated one the second time"),
                            ("both", "both: a missing time runs after the gap, a repeated one both times"),
                            ("skip", "skip: a missing time does not run, a repeated one runs the first time"),
                        ],
                        default="standard",
                        help_text="Rule for local times that do not exist or occur twice.",
                        max_length=10,
                        verbose_name="when clocks change",
                    ),
                ),
                (
                    "overlap_policy",
                    models.CharField(
                        choices=[
                            ("allow", "allow: submit anyway"),
                            ("skip", "skip: skip this run"),
                            (
                                "queue_one",
                                ("queue one: one run waits for the end of the previous one, further ones are skipped"),
                            ),
                            ("cancel_previous", "cancel previous: submit, and cancel earlier runs that have not ended"),
                        ],
                        default="allow",
                        help_text="Rule for a time at which an earlier run has not ended.",
                        max_length=16,
                        verbose_name="if one still runs",
                    ),
                ),
                (
                    "catch_up_policy",
                    models.CharField(
                        choices=[
                            ("none", "none: missed times are not caught up"),
                            ("latest", "latest: one run for the newest missed time"),
                            ("all", "all: a run for each missed time, the newest 100 at most"),
                        ],
                        default="latest",
                        help_text="Rule for times more than a minute ago at which no dispatcher ran.",
                        max_length=10,
                        verbose_name="after an outage",
                    ),
                ),
                (
                    "jitter_seconds",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Maximum random delay of each run in seconds; it is constant for the same time.",
                        validators=[django.core.validators.MaxValueValidator(3600)],
                        verbose_name="jitter seconds",
                    ),
                ),
                (
                    "starts_at",
                    models.DateTimeField(
                        blank=True, help_text="No run before; empty: at once.", null=True, verbose_name="starts at"
                    ),
                ),
                (
                    "ends_at",
                    models.DateTimeField(
                        blank=True, help_text="No run after; empty: never ends.", null=True, verbose_name="ends at"
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="is enabled")),
                ("pause_reason", models.CharField(blank=True, max_length=500, verbose_name="pause reason")),
                ("next_fire_at", models.DateTimeField(editable=False, null=True, verbose_name="next fire at")),
                ("last_fire_at", models.DateTimeField(editable=False, null=True, verbose_name="last fire at")),
                ("version", models.PositiveIntegerField(default=1, editable=False, verbose_name="version")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                ("updated_at", models.DateTimeField(auto_now=True, verbose_name="updated at")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "schedule",
                "verbose_name_plural": "schedules",
            },
        ),
        migrations.CreateModel(
            name="ScheduleFire",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("fire_time", models.DateTimeField(verbose_name="fire time")),
                (
                    "trigger",
                    models.CharField(
                        choices=[("cron", "by the calendar"), ("manual", "run now"), ("backfill", "backfill")],
                        max_length=8,
                        verbose_name="trigger",
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("submitted", "submitted"),
                            ("waiting", "waits for the previous run"),
                            ("skipped_overlap", "skipped: one was running"),
                            ("skipped_missed", "skipped: missed"),
                            ("refused", "refused"),
                        ],
                        max_length=16,
                        verbose_name="outcome",
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=500, verbose_name="reason")),
                ("fired_at", models.DateTimeField(verbose_name="fired at")),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="schedule_fires",
                        to="scheduling.job",
                        verbose_name="job",
                    ),
                ),
                (
                    "schedule",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="fires",
                        to="scheduling.schedule",
                        verbose_name="schedule",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "schedule fire",
                "verbose_name_plural": "schedule fires",
            },
        ),
        migrations.CreateModel(
            name="FairShareNode",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False, verbose_name="id")),
                ("fair_key", models.CharField(blank=True, db_default="", max_length=100, verbose_name="fair key")),
                ("weight_milli", models.PositiveIntegerField(default=1000, verbose_name="weight milli")),
                ("vruntime", models.BigIntegerField(default=0, verbose_name="vruntime")),
                ("own_vruntime", models.BigIntegerField(db_default=0, verbose_name="own vruntime")),
                ("virtual_time", models.BigIntegerField(db_default=0, verbose_name="virtual time")),
                ("is_runnable", models.BooleanField(default=False, verbose_name="is runnable")),
                ("in_flight", models.IntegerField(default=0, verbose_name="in flight")),
                ("keys_in_flight", models.IntegerField(db_default=0, verbose_name="keys in flight")),
                (
                    "waiting",
                    models.IntegerField(default=0, help_text="Ready, due and held jobs.", verbose_name="waiting"),
                ),
                ("keys_waiting", models.IntegerField(db_default=0, verbose_name="keys waiting")),
                (
                    "head_rank",
                    models.BigIntegerField(
                        default=0, help_text="Rank of its first ready job.", verbose_name="head rank"
                    ),
                ),
                (
                    "own_rank",
                    models.BigIntegerField(
                        help_text="Rank of its first ready job without a key.", null=True, verbose_name="own rank"
                    ),
                ),
                ("estimate_us", models.BigIntegerField(default=1000000, verbose_name="estimate us")),
                (
                    "parent",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The tenant's own row in the queue, for a row of one of its keys.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="keys",
                        to="scheduling.fairsharenode",
                        verbose_name="parent",
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="scheduling.queue",
                        verbose_name="queue",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_schedulingentity",
                "verbose_name": "scheduling entity",
                "verbose_name_plural": "scheduling entities",
            },
        ),
        migrations.CreateModel(
            name="SettledRefused",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("queue_id", models.BigIntegerField()),
                ("measured_us", models.BigIntegerField()),
                ("content", models.JSONField(help_text="The row of scheduling_settled.")),
                ("error", models.TextField()),
                ("refused_at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_settled_refused",
            },
        ),
        migrations.CreateModel(
            name="ShareMinute",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "minute", "queue_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("minute", models.DateTimeField()),
                (
                    "entitled_us",
                    models.BigIntegerField(help_text="Slot time that it was entitled to within the minute."),
                ),
                (
                    "backlogged_us",
                    models.BigIntegerField(help_text="Part of the minute in which it was backlogged."),
                ),
                (
                    "lag_us",
                    models.BigIntegerField(
                        help_text="Lag behind its ideal share when it was last backlogged.", null=True
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.queue",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_share_minute",
            },
        ),
        migrations.CreateModel(
            name="TenantGauge",
            fields=[
                ("minute", models.DateTimeField()),
                ("waiting", models.IntegerField(default=0, help_text="Ready, due and held jobs.")),
                (
                    "oldest_at",
                    models.DateTimeField(
                        help_text="Time since which the longest-waiting ready job may run.", null=True
                    ),
                ),
                (
                    "backing_off",
                    models.IntegerField(default=0, help_text="Jobs in backoff, among the soonest."),
                ),
                ("due", models.IntegerField(default=0, help_text="Those of them that are due.")),
                ("next_due_at", models.DateTimeField(null=True)),
                ("dispatched", models.IntegerField(default=0, help_text="Dispatched and not started.")),
                ("executing", models.IntegerField(default=0)),
                ("slots_milli", models.BigIntegerField(default=0, help_text="Slots in use, in thousandths.")),
                ("sampled_at", models.DateTimeField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "minute", "queue_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "busy_us",
                    models.BigIntegerField(
                        default=0, help_text="Slot time of running jobs, within the last ten minutes."
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.queue",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_tenant_gauge",
            },
        ),
        migrations.CreateModel(
            name="TenantKindCost",
            fields=[
                ("mean_us", models.BigIntegerField(verbose_name="mean us")),
                ("samples", models.BigIntegerField(help_text="Number of samples.", verbose_name="samples")),
                ("n", models.FloatField(db_default=1.0, verbose_name="n")),
                ("sum_x", models.FloatField(db_default=0.0, verbose_name="sum x")),
                ("sum_y", models.FloatField(db_default=0.0, verbose_name="sum y")),
                ("sum_xx", models.FloatField(db_default=0.0, verbose_name="sum xx")),
                ("sum_xy", models.FloatField(db_default=0.0, verbose_name="sum xy")),
                ("sum_yy", models.FloatField(db_default=0.0, verbose_name="sum yy")),
                ("least_us", models.FloatField(db_default=0.0, verbose_name="least us")),
                ("most_us", models.FloatField(db_default=0.0, verbose_name="most us")),
                (
                    "error_us",
                    models.FloatField(
                        db_default=0.0, help_text="Sum of |predicted - measured|.", verbose_name="error us"
                    ),
                ),
                (
                    "bias_us",
                    models.FloatField(db_default=0.0, help_text="Sum of predicted - measured.", verbose_name="bias us"),
                ),
                (
                    "total_us",
                    models.FloatField(
                        db_default=0.0, help_text="Sum of measured, the divisor of these two.", verbose_name="total us"
                    ),
                ),
                ("updated_at", models.DateTimeField(null=True, verbose_name="updated at")),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "kind", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=64)),
                (
                    "tenant",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="tenants.tenant"),
                ),
            ],
            options={
                "db_table": "scheduling_tenant_kind_cost",
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="TenantMinute",
            fields=[
                ("minute", models.DateTimeField()),
                ("completed", models.IntegerField(default=0)),
                (
                    "failed",
                    models.IntegerField(
                        default=0, help_text="Failures of the jobs themselves: failed, timed out, crashed, expired."
                    ),
                ),
                ("dead_letters", models.IntegerField(default=0)),
                ("busy_us", models.BigIntegerField(default=0)),
                (
                    "wait",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(),
                        help_text="Histogram of waits until the first start.",
                        size=None,
                    ),
                ),
                (
                    "run",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(),
                        help_text="Histogram of slot times of completed and failed executions.",
                        size=None,
                    ),
                ),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "minute", "queue_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="scheduling.queue",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_tenant_minute",
            },
        ),
        migrations.CreateModel(
            name="TenantUpkeepRun",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("name", models.CharField(max_length=64, verbose_name="name")),
                ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished at")),
                (
                    "counts",
                    models.JSONField(default=dict, help_text="Numbers of the run, by name.", verbose_name="counts"),
                ),
                (
                    "findings",
                    models.JSONField(
                        default=list,
                        help_text="Findings in words; a run with findings has failed.",
                        verbose_name="findings",
                    ),
                ),
                ("error", models.TextField(blank=True, verbose_name="error")),
                (
                    "cursor",
                    models.JSONField(default=dict, help_text="Start of the next run.", verbose_name="cursor"),
                ),
                ("lease_expires_at", models.DateTimeField(verbose_name="lease expires at")),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("requested", "Requested"),
                            ("running", "Running"),
                            ("ok", "Ok"),
                            ("partial", "more to do"),
                            ("failed", "Failed"),
                        ],
                        default="requested",
                        max_length=10,
                        verbose_name="outcome",
                    ),
                ),
                ("requested_by", models.CharField(blank=True, max_length=200, verbose_name="requested by")),
                ("requested_at", models.DateTimeField(verbose_name="requested at")),
                ("started_at", models.DateTimeField(blank=True, null=True, verbose_name="started at")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "tenant upkeep run",
                "verbose_name_plural": "tenant upkeep runs",
                "db_table": "scheduling_tenant_upkeep_run",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="UpkeepRun",
            fields=[
                ("name", models.CharField(max_length=64, verbose_name="name")),
                ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished at")),
                (
                    "counts",
                    models.JSONField(default=dict, help_text="Numbers of the run, by name.", verbose_name="counts"),
                ),
                (
                    "findings",
                    models.JSONField(
                        default=list,
                        help_text="Findings in words; a run with findings has failed.",
                        verbose_name="findings",
                    ),
                ),
                ("error", models.TextField(blank=True, verbose_name="error")),
                (
                    "cursor",
                    models.JSONField(default=dict, help_text="Start of the next run.", verbose_name="cursor"),
                ),
                ("lease_expires_at", models.DateTimeField(verbose_name="lease expires at")),
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[("running", "Running"), ("ok", "Ok"), ("partial", "more to do"), ("failed", "Failed")],
                        default="running",
                        max_length=10,
                        verbose_name="outcome",
                    ),
                ),
                ("started_at", models.DateTimeField(verbose_name="started at")),
            ],
            options={
                "verbose_name": "upkeep run",
                "verbose_name_plural": "upkeep runs",
                "db_table": "scheduling_upkeep_run",
                "indexes": [models.Index(fields=["name", "-id"], name="upkeep_run_by_name")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("outcome", "running")), fields=("name",), name="upkeep_one_run_at_a_time"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("hostname", models.CharField(max_length=200, verbose_name="hostname")),
                ("pid", models.PositiveIntegerField(verbose_name="pid")),
                ("slots", models.PositiveIntegerField(verbose_name="slots")),
                ("version", models.CharField(blank=True, max_length=40, verbose_name="version")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("online", "Online"),
                            ("draining", "Draining"),
                            ("stopping", "Stopping"),
                            ("stopped", "Stopped"),
                        ],
                        default="online",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("started_at", models.DateTimeField(verbose_name="started at")),
                ("heartbeat_at", models.DateTimeField(verbose_name="heartbeat at")),
                ("stopped_at", models.DateTimeField(blank=True, null=True, verbose_name="stopped at")),
                (
                    "stop_reason",
                    models.CharField(blank=True, db_default="", default="", max_length=40, verbose_name="stop reason"),
                ),
                (
                    "queues",
                    models.JSONField(
                        db_default=models.Value([], models.JSONField()),
                        default=list,
                        help_text="Names of the queues that it consumes.",
                        verbose_name="queues",
                    ),
                ),
                (
                    "kinds",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value([], models.JSONField()),
                        default=list,
                        help_text="Job kinds that it announces.",
                        verbose_name="kinds",
                    ),
                ),
                (
                    "canary_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When a child last answered a canary.",
                        null=True,
                        verbose_name="canary at",
                    ),
                ),
                (
                    "clock_skew_seconds",
                    models.FloatField(
                        blank=True,
                        help_text="Its clock minus the database's.",
                        null=True,
                        verbose_name="clock skew seconds",
                    ),
                ),
                (
                    "sandbox",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        default=dict,
                        help_text="The layers and the protections of the extraction sandbox on its host.",
                        verbose_name="sandbox",
                    ),
                ),
                (
                    "pool",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="workers",
                        to="scheduling.workerpool",
                        verbose_name="pool",
                    ),
                ),
            ],
            options={
                "verbose_name": "worker",
                "verbose_name_plural": "workers",
                "ordering": ["-started_at"],
            },
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(("fire_at__isnull", False)), fields=["fire_at"], name="batch_fire_at"
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(("cancelled_at__isnull", False), ("ended_at__isnull", True)),
                fields=["id"],
                name="batch_cancelling",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", True), ("waiting_job_id__isnull", False)),
                fields=["waiting_job_id"],
                name="batch_awaited",
            ),
        ),
        migrations.AddConstraint(
            model_name="batch",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="batch_tenant_id"),
        ),
        migrations.AddIndex(
            model_name="bulkoperation",
            index=models.Index(fields=["tenant", "-id"], name="bulk_operation_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="bulkoperation",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", True)), fields=["id"], name="bulk_operation_open"
            ),
        ),
        migrations.AddIndex(
            model_name="bulkoperation",
            index=models.Index(
                condition=models.Q(("batch_id__isnull", False)), fields=["batch_id"], name="bulk_operation_of_batch"
            ),
        ),
        migrations.AddIndex(
            model_name="bulkformer",
            index=models.Index(fields=["operation", "id"], name="bulk_former_by_operation"),
        ),
        migrations.AddIndex(
            model_name="cfsplanversion",
            index=models.Index(
                condition=models.Q(("outcome", "waiting")), fields=["effective_from"], name="cfs_plan_version_waiting"
            ),
        ),
        migrations.AddConstraint(
            model_name="cfsplanversion",
            constraint=models.UniqueConstraint(fields=("plan", "number"), name="cfs_plan_version_number"),
        ),
        migrations.AddIndex(
            model_name="circuit",
            index=models.Index(
                condition=models.Q(("state__in", ("open", "half_open", "forced_open"))),
                fields=["kind"],
                name="circuit_breaker_blocking",
            ),
        ),
        migrations.AddIndex(
            model_name="circuit",
            index=models.Index(
                condition=models.Q(("holds_all", True), ("state__in", ("open", "half_open", "forced_open"))),
                fields=["kind", "tenant"],
                name="circuit_breaker_holds_all",
            ),
        ),
        migrations.AddIndex(
            model_name="circuit",
            index=models.Index(condition=models.Q(("state", "open")), fields=["until"], name="circuit_breaker_until"),
        ),
        migrations.AddIndex(
            model_name="circuit",
            index=models.Index(
                condition=models.Q(("state__in", ["half_open", "closing", "forced_closed"])),
                fields=["id"],
                name="circuit_breaker_moving",
            ),
        ),
        migrations.AddIndex(
            model_name="circuit",
            index=models.Index(
                condition=models.Q(("state__in", ("forced_open", "forced_closed"))),
                fields=["until"],
                name="circuit_breaker_forced",
            ),
        ),
        migrations.AddIndex(
            model_name="circuit",
            index=models.Index(
                condition=models.Q(("state", "counting")), fields=["counted_from"], name="circuit_breaker_counting"
            ),
        ),
        migrations.AddConstraint(
            model_name="circuit",
            constraint=models.UniqueConstraint(
                fields=("tenant", "kind", "dependency"), name="circuit_breaker_name", nulls_distinct=False
            ),
        ),
        migrations.AddIndex(
            model_name="circuitnews",
            index=models.Index(fields=["tenant", "kind"], name="circuit_news_tenant_kind"),
        ),
        migrations.AddIndex(
            model_name="circuitnews",
            index=models.Index(
                condition=models.Q(("is_shared", True)), fields=["kind", "dependency"], name="circuit_news_shared"
            ),
        ),
        migrations.AddConstraint(
            model_name="eventrelay",
            constraint=models.UniqueConstraint(fields=("tenant",), name="event_relay_of_tenant", nulls_distinct=False),
        ),
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(fields=["error_fingerprint", "tenant", "id"], name="dead_letter_by_fingerprint"),
        ),
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(
                condition=models.Q(("requeued_at__isnull", True)),
                fields=["tenant", "kind", "error_fingerprint", "id"],
                name="dead_letter_group",
            ),
        ),
        migrations.AddConstraint(
            model_name="deadletter",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="dead_letter_tenant_id"),
        ),
        migrations.AddIndex(
            model_name="jobdeadline",
            index=models.Index(fields=["deadline_at"], name="job_deadline_at"),
        ),
        migrations.AddIndex(
            model_name="jobdue",
            index=models.Index(fields=["due_at"], name="job_due_at"),
        ),
        migrations.AddIndex(
            model_name="joberror",
            index=models.Index(fields=["tenant", "id"], name="job_error_tenant"),
        ),
        migrations.AddIndex(
            model_name="joberror",
            index=models.Index(fields=["tenant", "error_fingerprint", "id"], name="job_error_fingerprint"),
        ),
        migrations.AddIndex(
            model_name="jobevent",
            index=models.Index(fields=["tenant", "job"], name="job_event_job"),
        ),
        migrations.AddIndex(
            model_name="jobheld",
            index=models.Index(fields=["kind", "rank"], name="job_held_kind_rank"),
        ),
        migrations.AddIndex(
            model_name="jobheld",
            index=models.Index(fields=["gate", "kind", "rank"], name="job_held_gate"),
        ),
        migrations.AddIndex(
            model_name="jobheld",
            index=models.Index(
                condition=models.Q(("gate__gte", "circuit"), ("gate__lt", "kind")),
                fields=["gate", "tenant", "rank"],
                name="job_held_behind",
            ),
        ),
        migrations.AddIndex(
            model_name="joblog",
            index=models.Index(fields=["job", "id"], name="job_log_job"),
        ),
        migrations.AddIndex(
            model_name="joblog",
            index=models.Index(fields=["tenant", "id"], name="job_log_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="jobsuspended",
            index=models.Index(
                condition=models.Q(("wake_at__isnull", False)), fields=["wake_at"], name="job_suspended_wake_at"
            ),
        ),
        migrations.AddIndex(
            model_name="resultcacheentry",
            index=models.Index(fields=["expires_at"], name="result_cache_expires"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("batch__isnull", False)), fields=["tenant", "batch"], name="job_batch"
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("parent__isnull", False)), fields=["tenant", "parent"], name="job_parent"
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="job_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.UniqueConstraint(
                condition=models.Q(("idempotency_key__isnull", False)),
                fields=("tenant", "idempotency_key"),
                name="job_idempotency_key",
            ),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(fields=["tenant", "job"], name="execution_job"),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(fields=["tenant", "-id"], name="execution_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="charge",
            index=models.Index(fields=["tenant", "id"], name="charge_by_tenant"),
        ),
        migrations.AddConstraint(
            model_name="cfsplantier",
            constraint=models.UniqueConstraint(fields=("plan", "tier"), name="cfs_plan_tier"),
        ),
        migrations.AddConstraint(
            model_name="routingrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("balance", ""), ("by_tier", True), ("queue__isnull", True)),
                    models.Q(("balance", ""), ("by_tier", False), ("queue__isnull", False)),
                    models.Q(("by_tier", False), ("queue__isnull", True), models.Q(("balance", ""), _negated=True)),
                    _connector="OR",
                ),
                name="routing_rule_one_target",
                violation_error_message="Choose exactly one: a queue, “by tier”, or a balance over several queues.",
            ),
        ),
        migrations.AddConstraint(
            model_name="routingtarget",
            constraint=models.UniqueConstraint(fields=("rule", "queue"), name="routing_target_queue"),
        ),
        migrations.AddConstraint(
            model_name="savedview",
            constraint=models.UniqueConstraint(
                fields=("tenant", "owner", "name"), name="saved_view_name_of_owner", nulls_distinct=False
            ),
        ),
        migrations.AddIndex(
            model_name="schedule",
            index=models.Index(
                condition=models.Q(("next_fire_at__isnull", False)), fields=["next_fire_at"], name="schedule_next_fire"
            ),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="schedule_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="schedule_name"),
        ),
        migrations.AddIndex(
            model_name="schedulefire",
            index=models.Index(fields=["schedule", "-id"], name="schedule_fire_newest"),
        ),
        migrations.AddIndex(
            model_name="schedulefire",
            index=models.Index(
                condition=models.Q(("job__isnull", False)), fields=["schedule", "-fire_time"], name="schedule_fire_runs"
            ),
        ),
        migrations.AddIndex(
            model_name="schedulefire",
            index=models.Index(
                condition=models.Q(("job__isnull", False)), fields=["tenant", "job"], name="schedule_fire_job"
            ),
        ),
        migrations.AddConstraint(
            model_name="schedulefire",
            constraint=models.UniqueConstraint(fields=("schedule", "fire_time"), name="schedule_fire_once"),
        ),
        migrations.AddConstraint(
            model_name="schedulefire",
            constraint=models.UniqueConstraint(
                condition=models.Q(("outcome", "waiting")), fields=("schedule",), name="schedule_fire_one_waiting"
            ),
        ),
        migrations.AddIndex(
            model_name="fairsharenode",
            index=models.Index(
                models.F("queue"),
                models.F("vruntime"),
                django.db.models.expressions.CombinedExpression(models.F("in_flight"), "+", models.F("keys_in_flight")),
                models.F("head_rank"),
                models.F("id"),
                condition=models.Q(("is_runnable", True), ("parent", None)),
                name="entity_tenant_order",
            ),
        ),
        migrations.AddIndex(
            model_name="fairsharenode",
            index=models.Index(
                models.F("queue"),
                models.F("head_rank"),
                django.db.models.expressions.CombinedExpression(models.F("in_flight"), "+", models.F("keys_in_flight")),
                models.F("id"),
                condition=models.Q(("is_runnable", True), ("parent", None)),
                name="entity_tenant_fifo",
            ),
        ),
        migrations.AddIndex(
            model_name="fairsharenode",
            index=models.Index(
                condition=models.Q(("is_runnable", True), ("parent__isnull", False)),
                fields=["parent", "vruntime", "in_flight", "head_rank", "id"],
                name="entity_key_order",
            ),
        ),
        migrations.AddIndex(
            model_name="fairsharenode",
            index=models.Index(
                condition=models.Q(("is_runnable", True), ("parent__isnull", False)),
                fields=["parent", "head_rank", "in_flight", "id"],
                name="entity_key_fifo",
            ),
        ),
        migrations.AddIndex(
            model_name="fairsharenode",
            index=models.Index(
                condition=models.Q(("parent", None)), fields=["tenant", "queue"], name="entity_of_tenant"
            ),
        ),
        migrations.AddConstraint(
            model_name="fairsharenode",
            constraint=models.UniqueConstraint(fields=("tenant", "queue", "fair_key"), name="entity_line"),
        ),
        migrations.AddConstraint(
            model_name="fairsharenode",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="entity_tenant_id"),
        ),
        migrations.AddIndex(
            model_name="settledrefused",
            index=models.Index(fields=["tenant", "id"], name="settled_refused_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="shareminute",
            index=models.Index(fields=["minute"], name="share_minute_by_time"),
        ),
        migrations.AddIndex(
            model_name="tenantgauge",
            index=models.Index(fields=["minute"], name="tenant_gauge_by_time"),
        ),
        migrations.AddIndex(
            model_name="tenantminute",
            index=models.Index(fields=["minute"], name="tenant_minute_by_time"),
        ),
        migrations.AddIndex(
            model_name="tenantminute",
            index=models.Index(fields=["tenant", "minute"], include=("queue", "busy_us"), name="tenant_minute_busy"),
        ),
        migrations.AddIndex(
            model_name="tenantupkeeprun",
            index=models.Index(fields=["tenant", "-id"], name="tenant_upkeep_run_by_tenant"),
        ),
        migrations.AddConstraint(
            model_name="tenantupkeeprun",
            constraint=models.UniqueConstraint(
                condition=models.Q(("outcome__in", ["requested", "running", "partial"])),
                fields=("tenant", "name"),
                name="tenant_upkeep_one_open_run",
            ),
        ),
        migrations.RunSQL(load_migration_sql(__file__, "tables"), load_migration_sql(__file__, "drop_tables")),
        *[EnableRowSecurity(model) for model in TENANT_TABLES],
        *[EnableRowSecurity(model, app_may=APPEND) for model in HISTORY_TABLES],
        *[EnableRowSecurity(model, app_may=READ) for model in TENANT_NUMBERS],
        EnableRowSecurity("JobLogTally", app_may=["SELECT", "INSERT", "UPDATE"]),
        *[EnableRowSecurity(model, column=None, app_may=READ) for model in SHARED_TABLES],
        EnableRowSecurity("CFSPlanVersion", column=None, app_may=READ, platform_may=["SELECT", "INSERT", "UPDATE"]),
        AddCompositeForeignKey("Job", columns=("tenant_id", "batch_id"), to="scheduling.Batch"),
        AddCompositeForeignKey("Job", columns=("tenant_id", "parent_id"), to="scheduling.Job", on_delete="SET NULL"),
        *[
            AddCompositeForeignKey(model, columns=("tenant_id", "job_id"), to="scheduling.Job")
            for model in TABLES_WITH_A_JOB
        ],
        AddCompositeForeignKey(
            "JobLogTally", columns=("tenant_id", "job_id"), to="scheduling.Job", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "ScheduleFire", columns=("tenant_id", "schedule_id"), to="scheduling.Schedule", on_delete="CASCADE"
        ),
        AddCompositeForeignKey(
            "ScheduleFire", columns=("tenant_id", "job_id"), to="scheduling.Job", on_delete="SET NULL"
        ),
        AddCompositeForeignKey("FairShareNode", columns=("tenant_id", "parent_id"), to="scheduling.FairShareNode"),
        migrations.RunSQL(load_migration_sql(__file__, "policies"), migrations.RunSQL.noop),
        migrations.RunSQL(load_migration_sql(__file__, "triggers"), migrations.RunSQL.noop),
        migrations.RunSQL(load_migration_sql(__file__, "storage"), migrations.RunSQL.noop),
        migrations.RunPython(_seeds.create_queues, migrations.RunPython.noop),
    ]
