"""Versions of CFS plans; rules that balance over queues; moves of the backlog; alarms of queues that nobody reads.

Versions stay as they were written and begin with what each plan is now.
"""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity, migration_door

FIELDS = ("name", "strategy", "granularity_seconds", "reserved_slots")
CREATE_TRIGGER = (
    "CREATE TRIGGER keep_version BEFORE UPDATE ON scheduling_cfs_plan_version"
    " FOR EACH ROW EXECUTE FUNCTION public.keep_version()"
)


def put_versions(apps, schema_editor):
    CFSPlan, CFSPlanVersion = apps.get_model("scheduling", "CFSPlan"), apps.get_model("scheduling", "CFSPlanVersion")
    alias = schema_editor.connection.alias
    with migration_door(schema_editor):
        for plan in CFSPlan.objects.using(alias).prefetch_related("tiers__queue"):
            content = {name: getattr(plan, name) for name in FIELDS} | {
                "tiers": {row.tier_id: {"queue": row.queue.name, "weight": row.weight} for row in plan.tiers.all()}
            }
            CFSPlanVersion.objects.using(alias).create(
                plan=plan,
                number=plan.version,
                author="system",
                reason="as it was before versions were kept",
                content=content,
                before={},
                after={},
                outcome="applied",
                outcome_at=django.db.models.functions.datetime.Now(),
            )


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0013_messages"), ("tenants", "0010_plan_versions")]

    operations = [
        migrations.AlterField(
            model_name="cfsplan",
            name="version",
            field=models.PositiveIntegerField(
                db_default=1, default=1, editable=False, help_text="Number of the version in effect."
            ),
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
                            ("waiting", "waits for its time"),
                            ("applied", "took effect"),
                            ("withdrawn", "withdrawn"),
                            ("refused", "refused at its time"),
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
                "constraints": [models.UniqueConstraint(fields=("plan", "number"), name="cfs_plan_version_number")],
                "indexes": [
                    models.Index(
                        condition=models.Q(("outcome", "waiting")),
                        fields=["effective_from"],
                        name="cfs_plan_version_waiting",
                    )
                ],
            },
        ),
        EnableRowSecurity(
            "CFSPlanVersion", column=None, app_may=["SELECT"], platform_may=["SELECT", "INSERT", "UPDATE"]
        ),
        migrations.RunSQL(CREATE_TRIGGER, "DROP TRIGGER keep_version ON scheduling_cfs_plan_version"),
        migrations.RunPython(put_versions, migrations.RunPython.noop),
        migrations.CreateModel(
            name="BacklogMove",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("cause", models.CharField(max_length=200)),
                ("requested_by", models.CharField(blank=True, max_length=200)),
                ("requested_at", models.DateTimeField()),
                (
                    "phase",
                    models.CharField(
                        choices=[("ready", "Ready"), ("due", "Due"), ("held", "Held"), ("suspended", "Suspended")],
                        default="ready",
                        max_length=10,
                    ),
                ),
                ("cursor", models.JSONField(default=list)),
                ("pass_began_at", models.DateTimeField(null=True)),
                ("found_in_pass", models.BigIntegerField(default=0)),
                ("passes", models.PositiveIntegerField(default=0)),
                ("looked_at", models.BigIntegerField(default=0)),
                ("moved", models.BigIntegerField(default=0)),
                ("is_open", models.BooleanField(default=True)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "scheduling_backlog_move",
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_open", True)), fields=("is_open",), name="backlog_move_one_open"
                    )
                ],
            },
        ),
        EnableRowSecurity("BacklogMove", column=None, app_may=["SELECT"]),
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
                        default=0, help_text="Work that waits for its pool, where a rule weighs it."
                    ),
                ),
                ("slots", models.IntegerField(default=0, help_text="Of the live workers that read it.")),
                ("unread_since", models.DateTimeField(null=True)),
            ],
            options={"db_table": "scheduling_queue_standing"},
        ),
        EnableRowSecurity("QueueStanding", column=None, app_may=["SELECT"]),
        migrations.CreateModel(
            name="RoutingTarget",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "weight",
                    models.PositiveIntegerField(
                        default=1,
                        help_text="Of the balance “weighted”.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, to="scheduling.queue"
                    ),
                ),
                (
                    "rule",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="targets",
                        to="scheduling.routingrule",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_routing_target",
                "ordering": ["queue__name"],
                "constraints": [models.UniqueConstraint(fields=("rule", "queue"), name="routing_target_queue")],
            },
        ),
        EnableRowSecurity("RoutingTarget", column=None, app_may=["SELECT"]),
        migrations.AddField(
            model_name="worker",
            name="queues",
            field=models.JSONField(
                db_default=models.Value([], models.JSONField()),
                default=list,
                help_text="Names of the queues that it reads.",
            ),
        ),
        migrations.RemoveConstraint(model_name="routingrule", name="routing_rule_one_target"),
        migrations.AddField(
            model_name="routingrule",
            name="balance",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "One queue"),
                    ("weighted", "Several queues, by their weights"),
                    ("least_loaded", "Several queues, the one with the least waiting work for each live slot"),
                ],
                db_default="",
                default="",
                help_text="Over which of the queues below a rule without a queue of its own spreads its jobs.",
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="routingrule",
            name="condition",
            field=models.JSONField(
                blank=True,
                help_text=(
                    'On the payload, such as {"field": "pages", "op": "gt", "value": 100}, or a list of such: all hold.'
                ),
                null=True,
            ),
        ),
        migrations.AddConstraint(
            model_name="routingrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("balance", ""), ("by_tier", True), ("queue__isnull", True))
                | models.Q(("balance", ""), ("by_tier", False), ("queue__isnull", False))
                | models.Q(("by_tier", False), ("queue__isnull", True), models.Q(("balance", ""), _negated=True)),
                name="routing_rule_one_target",
                violation_error_message="Name a queue, choose “by tier”, or balance over several: one of the three.",
            ),
        ),
    ]
