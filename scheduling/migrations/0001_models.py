"""The tables of what and when. History and ledger are partitioned by their UUIDv7 id."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import CreatePartitionedModel


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0003_tiers_and_plans"),
    ]

    operations = [
        migrations.CreateModel(
            name="Settled",
            fields=[
                ("entity_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("queue_id", models.BigIntegerField()),
                ("kind", models.CharField(max_length=64)),
                ("predicted_us", models.BigIntegerField()),
                ("measured_us", models.BigIntegerField()),
                ("weight_milli", models.PositiveIntegerField()),
                ("queue_weight_milli", models.PositiveIntegerField()),
                ("is_sample", models.BooleanField(help_text="Whether the measured time teaches the predictor.")),
            ],
            options={
                "db_table": "scheduling_settled",
                "abstract": False,
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Wake",
            fields=[
                ("entity_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("queue_id", models.BigIntegerField()),
                ("waiting_delta", models.IntegerField()),
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
                ("kind", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("mean_us", models.BigIntegerField()),
                ("samples", models.BigIntegerField()),
            ],
            options={
                "db_table": "scheduling_kind_cost",
            },
        ),
        migrations.CreateModel(
            name="KindPause",
            fields=[
                ("kind", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("paused_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="WorkerPool",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.SlugField(max_length=40, unique=True)),
                ("description", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Queue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.SlugField(max_length=60, unique=True)),
                ("description", models.CharField(blank=True, max_length=200)),
                (
                    "weight",
                    models.PositiveIntegerField(
                        default=1,
                        help_text="Share of the pool beside its other queues, unless the active CFS plan says otherwise.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                    ),
                ),
                (
                    "cap",
                    models.PositiveIntegerField(
                        blank=True, help_text="Messages in flight at most; empty for no cap of its own.", null=True
                    ),
                ),
                (
                    "resource_class",
                    models.CharField(
                        choices=[("cpu", "CPU"), ("io", "I/O"), ("cpu+memory", "CPU and memory")],
                        default="cpu",
                        max_length=12,
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
                    ),
                ),
                ("is_paused", models.BooleanField(default=False)),
                ("pause_reason", models.CharField(blank=True, max_length=200)),
                (
                    "pool",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="queues", to="scheduling.workerpool"
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
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
                    ),
                ),
                ("in_flight", models.IntegerField(default=0)),
            ],
            options={
                "db_table": "scheduling_tenant_capacity",
            },
        ),
        migrations.CreateModel(
            name="Batch",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("label", models.CharField(max_length=200)),
                ("kind", models.CharField(max_length=64)),
                ("total", models.PositiveIntegerField(help_text="Jobs in this batch.")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "batches",
            },
        ),
        migrations.CreateModel(
            name="CFSPlan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=60, unique=True)),
                (
                    "strategy",
                    models.CharField(
                        choices=[
                            ("nop", "Off: every queue in order of arrival"),
                            ("time_slice", "Fair order with time slices"),
                        ],
                        default="time_slice",
                        max_length=12,
                    ),
                ),
                (
                    "granularity_seconds",
                    models.PositiveIntegerField(
                        default=120,
                        help_text="Length of a time slice; a running job may be asked to yield after it.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(86400),
                        ],
                    ),
                ),
                (
                    "reserved_slots",
                    models.PositiveIntegerField(default=0, help_text="Slots kept for tenants below their share."),
                ),
                ("is_active", models.BooleanField(default=False)),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "verbose_name": "CFS plan",
                "ordering": ["name"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_active", True)), fields=("is_active",), name="one_active_cfs_plan"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=64)),
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
                    ),
                ),
                (
                    "priority",
                    models.SmallIntegerField(
                        default=0, help_text="Orders this tenant's own jobs only; higher runs earlier."
                    ),
                ),
                (
                    "rank",
                    models.BigIntegerField(
                        help_text="Microseconds: available time less priority × AGEING_SECONDS; fixed at submit."
                    ),
                ),
                ("fair_key", models.CharField(blank=True, max_length=100)),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64), blank=True, default=list, size=None
                    ),
                ),
                ("payload", models.JSONField(default=dict)),
                ("payload_hash", models.BinaryField(help_text="SHA-256 of the whole request.", max_length=32)),
                ("idempotency_key", models.CharField(blank=True, max_length=200, null=True)),
                ("attempt", models.PositiveSmallIntegerField(default=0, help_text="Starts that failed by themselves.")),
                ("crash_count", models.PositiveSmallIntegerField(default=0)),
                ("execution_count", models.PositiveIntegerField(default=0)),
                ("max_retries", models.PositiveSmallIntegerField(default=3)),
                ("fence", models.BigIntegerField(default=0)),
                ("progress_current", models.BigIntegerField(default=0)),
                ("progress_total", models.BigIntegerField(default=0)),
                ("progress_message", models.CharField(blank=True, max_length=200)),
                ("checkpoint", models.JSONField(blank=True, default=dict)),
                ("result", models.JSONField(blank=True, null=True)),
                ("error_type", models.CharField(blank=True, max_length=100)),
                ("error_message", models.TextField(blank=True)),
                ("error_fingerprint", models.CharField(blank=True, max_length=16)),
                ("run_at", models.DateTimeField(help_text="Not started before this time.")),
                ("deadline_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(blank=True, help_text="First start.", null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
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
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, to="scheduling.queue"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=64)),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("permanent_error", "permanent error"),
                            ("attempts_exhausted", "attempts exhausted"),
                            ("deadline_passed", "deadline passed"),
                            ("crashed_workers", "crashed its workers"),
                        ],
                        max_length=20,
                    ),
                ),
                ("error_type", models.CharField(blank=True, max_length=100)),
                ("error_message", models.TextField(blank=True)),
                ("error_fingerprint", models.CharField(blank=True, max_length=16)),
                ("created_at", models.DateTimeField()),
                ("requeued_at", models.DateTimeField(blank=True, null=True)),
                ("requeued_job_id", models.UUIDField(blank=True, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "job",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="dead_letter",
                        to="scheduling.job",
                    ),
                ),
            ],
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
            name="JobEvent",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("execution_id", models.UUIDField(null=True)),
                ("at", models.DateTimeField()),
                ("name", models.CharField(max_length=40)),
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
                    ),
                ),
                ("actor", models.CharField(max_length=200)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("data", models.JSONField(default=dict)),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="%(class)ss",
                        to="scheduling.job",
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
        ),
        migrations.CreateModel(
            name="JobHeld",
            fields=[
                ("entity_id", models.BigIntegerField()),
                ("kind", models.CharField(max_length=64)),
                ("rank", models.BigIntegerField()),
                ("job_id", models.UUIDField(primary_key=True, serialize=False)),
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
        migrations.CreateModel(
            name="JobReady",
            fields=[
                ("entity_id", models.BigIntegerField()),
                ("kind", models.CharField(max_length=64)),
                ("rank", models.BigIntegerField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "entity_id", "rank", "job_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("job_id", models.UUIDField()),
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
            ],
            options={
                "db_table": "scheduling_pool_clock",
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
            ],
            options={
                "db_table": "scheduling_queue_clock",
            },
        ),
        migrations.CreateModel(
            name="LiveExecution",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("entity_id", models.BigIntegerField()),
                ("kind", models.CharField(max_length=64)),
                ("number", models.PositiveIntegerField(help_text="Which hand-out of the job this is, from 1.")),
                ("token", models.UUIDField(help_text="Dispatch token; only the latest message carries it.")),
                ("fence", models.BigIntegerField(default=0)),
                ("predicted_us", models.BigIntegerField()),
                ("weight_milli", models.PositiveIntegerField(help_text="The tenant's weight when this was charged.")),
                (
                    "queue_weight_milli",
                    models.PositiveIntegerField(help_text="The queue's weight when this was charged."),
                ),
                ("dispatched_at", models.DateTimeField()),
                ("published_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
                ("worker_id", models.UUIDField(null=True)),
                ("lease_expires_at", models.DateTimeField(null=True)),
                ("cancel_requested_at", models.DateTimeField(null=True)),
                (
                    "job",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="live_execution",
                        to="scheduling.job",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "pool",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to="scheduling.workerpool"
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to="scheduling.queue"
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_execution_live",
            },
        ),
        CreatePartitionedModel(
            name="Execution",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=64)),
                ("number", models.PositiveIntegerField()),
                ("fence", models.BigIntegerField()),
                ("worker_id", models.UUIDField(null=True)),
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
                        ],
                        max_length=12,
                    ),
                ),
                ("predicted_us", models.BigIntegerField()),
                ("measured_us", models.BigIntegerField(help_text="Slot time from start to end, microseconds.")),
                ("dispatched_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField()),
                ("error_type", models.CharField(blank=True, max_length=100)),
                ("error_message", models.TextField(blank=True)),
                ("traceback", models.TextField(blank=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
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
        ),
        CreatePartitionedModel(
            name="Charge",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("execution_id", models.UUIDField()),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("predicted", "predicted at dispatch"),
                            ("corrected", "corrected to the measured time"),
                        ],
                        max_length=10,
                    ),
                ),
                ("microseconds", models.BigIntegerField()),
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
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="%(class)ss",
                        to="scheduling.job",
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
                "abstract": False,
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
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tiers", to="scheduling.cfsplan"
                    ),
                ),
                ("tier", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="tenants.tier")),
                ("queue", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="scheduling.queue")),
            ],
            options={
                "verbose_name": "tier row",
                "ordering": ["tier__rank"],
            },
        ),
        migrations.CreateModel(
            name="RoutingRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField(help_text="Lower is asked first.", unique=True)),
                ("kind", models.CharField(blank=True, help_text="Empty for every kind.", max_length=64)),
                (
                    "condition",
                    models.JSONField(
                        blank=True,
                        help_text='On the payload, such as {"field": "pages", "op": "gt", "value": 100}.',
                        null=True,
                    ),
                ),
                (
                    "by_tier",
                    models.BooleanField(
                        default=False, help_text="Send to the queue that the active CFS plan names for the tier."
                    ),
                ),
                (
                    "allows_queue_choice",
                    models.BooleanField(
                        default=False, help_text="Whether a tenant may name one of this kind's queues itself."
                    ),
                ),
                ("is_active", models.BooleanField(default=True)),
                (
                    "queue",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to="scheduling.queue"
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
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
            },
        ),
        migrations.CreateModel(
            name="SchedulingEntity",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("weight_milli", models.PositiveIntegerField(default=1000)),
                ("vruntime", models.BigIntegerField(default=0)),
                ("is_runnable", models.BooleanField(default=False)),
                ("in_flight", models.IntegerField(default=0)),
                ("waiting", models.IntegerField(default=0, help_text="Ready, due and held jobs.")),
                ("head_rank", models.BigIntegerField(default=0, help_text="Rank of its first ready job.")),
                ("estimate_us", models.BigIntegerField(default=1000000)),
                (
                    "queue",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, to="scheduling.queue"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"),
                ),
            ],
            options={
                "verbose_name_plural": "scheduling entities",
            },
        ),
        migrations.CreateModel(
            name="TenantKindCost",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "kind", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=64)),
                ("mean_us", models.BigIntegerField()),
                ("samples", models.BigIntegerField()),
                (
                    "tenant",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="tenants.tenant"),
                ),
            ],
            options={
                "db_table": "scheduling_tenant_kind_cost",
            },
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hostname", models.CharField(max_length=200)),
                ("pid", models.PositiveIntegerField()),
                ("slots", models.PositiveIntegerField()),
                ("version", models.CharField(blank=True, max_length=40)),
                (
                    "status",
                    models.CharField(
                        choices=[("online", "Online"), ("stopping", "Stopping"), ("stopped", "Stopped")],
                        default="online",
                        max_length=10,
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("heartbeat_at", models.DateTimeField()),
                ("stopped_at", models.DateTimeField(blank=True, null=True)),
                (
                    "pool",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="workers", to="scheduling.workerpool"
                    ),
                ),
            ],
            options={
                "ordering": ["-started_at"],
            },
        ),
        migrations.AddConstraint(
            model_name="batch",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="batch_tenant_id"),
        ),
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(fields=["tenant", "error_fingerprint"], name="dead_letter_fingerprint"),
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
            model_name="jobevent",
            index=models.Index(fields=["tenant", "job"], name="job_event_job"),
        ),
        migrations.AddIndex(
            model_name="jobheld",
            index=models.Index(fields=["kind"], name="job_held_kind"),
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
        migrations.AddConstraint(
            model_name="cfsplantier",
            constraint=models.UniqueConstraint(fields=("plan", "tier"), name="cfs_plan_tier"),
        ),
        migrations.AddConstraint(
            model_name="routingrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("by_tier", True), ("queue__isnull", True)),
                    models.Q(("by_tier", False), ("queue__isnull", False)),
                    _connector="OR",
                ),
                name="routing_rule_one_target",
                violation_error_message="Name a queue or choose “by tier”, not both.",
            ),
        ),
        migrations.AddIndex(
            model_name="schedulingentity",
            index=models.Index(
                condition=models.Q(("is_runnable", True)), fields=["queue", "vruntime", "id"], name="entity_fair_order"
            ),
        ),
        migrations.AddIndex(
            model_name="schedulingentity",
            index=models.Index(
                condition=models.Q(("is_runnable", True)), fields=["queue", "head_rank", "id"], name="entity_fifo_order"
            ),
        ),
        migrations.AddConstraint(
            model_name="schedulingentity",
            constraint=models.UniqueConstraint(fields=("tenant", "queue"), name="entity_tenant_queue"),
        ),
        migrations.AddConstraint(
            model_name="schedulingentity",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="entity_tenant_id"),
        ),
    ]
