"""Circuit breakers of dependencies beside those of kinds, a tenant's own or shared, and held by hand."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity

STATES = [
    ("counting", "counting failures"),
    ("open", "open"),
    ("half_open", "half open: one job tries"),
    ("closing", "closing: its jobs come back"),
    ("forced_open", "held open by hand"),
    ("forced_closed", "held closed by hand"),
]
BLOCKING = ("open", "half_open", "forced_open")
OUTCOMES = [
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
]


def names(about):
    return ArrayField(models.CharField(max_length=200), editable=False, help_text=about, null=True, size=None)


class Migration(migrations.Migration):
    # A million jobs may be set aside: their indexes are built while work goes on.
    atomic = False

    dependencies = [("scheduling", "0024_dead_letter_groups")]

    operations = [
        # The code before this one knows one breaker for each tenant and kind, and says so in its statements. It keeps
        # its table, scheduling_circuit, for as long as it runs: a breaker that is open in it opens anew in the other.
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel("Circuit")]),
        migrations.CreateModel(
            "Circuit",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Whose jobs stand behind it; empty: everybody's.",
                        null=True,
                        on_delete=models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                ("kind", models.CharField(max_length=64)),
                (
                    "dependency",
                    models.CharField(
                        blank=True, help_text="What is needed; empty for the kind itself.", max_length=200
                    ),
                ),
                (
                    "holds_all",
                    models.BooleanField(help_text="Every job of the kind needs it; else those that have named it."),
                ),
                ("state", models.CharField(choices=STATES, max_length=13)),
                (
                    "failures",
                    models.PositiveIntegerField(help_text="In a row; of one fingerprint where no dependency is named."),
                ),
                (
                    "tenants",
                    models.JSONField(default=dict, help_text="How many of the failures are whose, where it is shared."),
                ),
                ("fingerprint", models.CharField(max_length=16)),
                ("error_type", models.CharField(max_length=100)),
                ("error_message", models.CharField(max_length=200)),
                ("counted_from", models.DateTimeField(help_text="When the first failure of the row happened.")),
                ("opened_at", models.DateTimeField(null=True)),
                (
                    "until",
                    models.DateTimeField(
                        help_text="When one job tries, or another does; when what is forced ends.", null=True
                    ),
                ),
                ("probe_job_id", models.UUIDField(help_text="The job that tries.", null=True)),
                (
                    "probe_tenant_id",
                    models.UUIDField(help_text="Whose job tries, or tried last: the next is another's.", null=True),
                ),
                ("forced_by", models.CharField(blank=True, help_text="Who holds it by hand.", max_length=200)),
                ("forced_reason", models.CharField(blank=True, help_text="Why it is held by hand.", max_length=200)),
            ],
            options={
                "db_table": "scheduling_circuit_breaker",
                "verbose_name": "circuit breaker",
                "indexes": [
                    models.Index(
                        condition=models.Q(state__in=BLOCKING), fields=["kind"], name="circuit_breaker_blocking"
                    ),
                    models.Index(
                        condition=models.Q(state__in=BLOCKING, holds_all=True),
                        fields=["kind", "tenant"],
                        name="circuit_breaker_holds_all",
                    ),
                    models.Index(condition=models.Q(state="open"), fields=["until"], name="circuit_breaker_until"),
                    models.Index(
                        condition=models.Q(state__in=["half_open", "closing", "forced_closed"]),
                        fields=["id"],
                        name="circuit_breaker_moving",
                    ),
                    models.Index(
                        condition=models.Q(state__in=("forced_open", "forced_closed")),
                        fields=["until"],
                        name="circuit_breaker_forced",
                    ),
                    models.Index(
                        condition=models.Q(state="counting"), fields=["counted_from"], name="circuit_breaker_counting"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "kind", "dependency"), name="circuit_breaker_name", nulls_distinct=False
                    )
                ],
            },
        ),
        EnableRowSecurity("Circuit"),
        migrations.AddField("CircuitNews", "dependency", models.CharField(blank=True, db_default="", max_length=200)),
        migrations.AddField(
            "CircuitNews",
            "is_shared",
            models.BooleanField(db_default=False, help_text="It moves the breaker of all tenants too."),
        ),
        migrations.AddField(
            "CircuitNews",
            "retry_after_seconds",
            models.FloatField(help_text="For how long the other side wants to be left alone.", null=True),
        ),
        AddIndexConcurrently(
            "CircuitNews",
            models.Index(condition=models.Q(is_shared=True), fields=["kind", "dependency"], name="circuit_news_shared"),
        ),
        migrations.AddField("Job", "dependencies", names("What its last execution named; empty while none has.")),
        migrations.AddField("Job", "shared_dependencies", names("Those of them that are the platform's.")),
        migrations.AlterField("Execution", "outcome", models.CharField(choices=OUTCOMES, max_length=12)),
        migrations.AlterField("KindHour", "outcome", models.CharField(blank=True, choices=OUTCOMES, max_length=12)),
        # What an interrupted try has left would be in the way.
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS job_held_behind", migrations.RunSQL.noop),
        AddIndexConcurrently(
            "JobHeld",
            models.Index(
                condition=models.Q(gate__gte="circuit", gate__lt="kind"),
                fields=["gate", "tenant", "rank"],
                name="job_held_behind",
            ),
        ),
        RemoveIndexConcurrently("JobHeld", "job_held_circuit"),
    ]
