"""Rates of queues, memory classes and circuit breakers."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity

STATES = [
    ("counting", "counting failures"),
    ("open", "open"),
    ("half_open", "half open: one job tries"),
    ("closing", "closing: its jobs come back"),
]
ERROR = [
    ("error_type", models.CharField(max_length=100)),
    ("error_message", models.CharField(max_length=200)),
]


class Migration(migrations.Migration):
    # A million jobs of a paused kind may be set aside: their indexes are built while work goes on.
    atomic = False

    dependencies = [("scheduling", "0014_cfs_plan_versions"), ("tenants", "0010_plan_versions")]

    operations = [
        migrations.CreateModel(
            "Circuit",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, on_delete=models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
                ("kind", models.CharField(max_length=64)),
                ("state", models.CharField(choices=STATES, max_length=9)),
                ("failures", models.PositiveIntegerField(help_text="In a row, of one fingerprint.")),
                ("fingerprint", models.CharField(max_length=16)),
                *ERROR,
                ("counted_from", models.DateTimeField(help_text="When the first failure of the row happened.")),
                ("opened_at", models.DateTimeField(null=True)),
                ("until", models.DateTimeField(help_text="When one job tries.", null=True)),
                ("probe_job_id", models.UUIDField(help_text="The job that tries.", null=True)),
            ],
            options={
                "verbose_name": "circuit breaker",
                "indexes": [
                    models.Index(condition=models.Q(state="open"), fields=["until"], name="circuit_until"),
                    models.Index(
                        condition=models.Q(state__in=["half_open", "closing"]), fields=["id"], name="circuit_moving"
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("tenant", "kind"), name="circuit_tenant_kind")],
            },
        ),
        migrations.CreateModel(
            "CircuitNews",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
                ("kind", models.CharField(max_length=64)),
                ("job_id", models.UUIDField()),
                ("fingerprint", models.CharField(help_text="Of the error; empty for a success.", max_length=16)),
                *ERROR,
                ("at", models.DateTimeField()),
            ],
            options={
                "db_table": "scheduling_circuit_news",
                "indexes": [models.Index(fields=["tenant", "kind"], name="circuit_news_tenant_kind")],
            },
        ),
        EnableRowSecurity("Circuit"),
        EnableRowSecurity("CircuitNews"),
        migrations.AddField("JobHeld", "gate", models.CharField(db_default="kind", max_length=40)),
        AddIndexConcurrently("JobHeld", models.Index(fields=["gate", "kind", "rank"], name="job_held_gate")),
        AddIndexConcurrently(
            "JobHeld",
            models.Index(
                condition=models.Q(gate="circuit"), fields=["tenant", "kind", "rank"], name="job_held_circuit"
            ),
        ),
        migrations.AddField(
            "Queue",
            "dispatches_per_minute",
            models.PositiveIntegerField(
                blank=True,
                help_text="Jobs handed out a minute at most, over time; empty for no rate of its own.",
                null=True,
                validators=[MinValueValidator(1), MaxValueValidator(60_000_000)],
            ),
        ),
        migrations.AddField(
            "Queue",
            "dispatch_burst",
            models.PositiveIntegerField(
                blank=True,
                help_text="Jobs handed out at once at most after a time of rest; empty for those of a second, at least"
                " two.",
                null=True,
                validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
            ),
        ),
        migrations.AddField(
            "QueueClock",
            "arrival_us",
            models.BigIntegerField(
                db_default=0, help_text="Theoretical arrival time of its rate, microseconds since 1970."
            ),
        ),
        migrations.AddField(
            "WorkerPool",
            "memory_mib",
            models.PositiveIntegerField(
                "memory class",
                choices=[(256, "small (256 MiB)"), (512, "medium (512 MiB)"), (1024, "large (1,024 MiB)")],
                db_default=1024,
                default=1024,
                help_text="What each child has; jobs of kinds that need more are not handed out here.",
            ),
        ),
    ]
