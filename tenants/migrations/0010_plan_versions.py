"""Versions of plans: rows that stay as they were written, beginning with what each plan is now."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity, migration_door

FIELDS = (
    "name",
    "weight",
    "max_concurrency",
    "max_waiting_jobs",
    "submits_per_minute",
    "worker_seconds_per_month",
    "max_priority",
)
# What becomes of a version is written once; all else of it never changes. Other apps' versions use this too.
CREATE_FUNCTION = """
CREATE FUNCTION public.keep_version() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.outcome <> 'waiting'
        OR to_jsonb(OLD) - '{outcome,outcome_at,outcome_note}'::text[]
            <> to_jsonb(NEW) - '{outcome,outcome_at,outcome_note}'::text[]
    THEN
        RAISE EXCEPTION 'A version stays as it was written.' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""
CREATE_TRIGGER = (
    "CREATE TRIGGER keep_version BEFORE UPDATE ON tenants_planversion"
    " FOR EACH ROW EXECUTE FUNCTION public.keep_version()"
)


def put_versions(apps, schema_editor):
    Plan, PlanVersion = apps.get_model("tenants", "Plan"), apps.get_model("tenants", "PlanVersion")
    alias = schema_editor.connection.alias
    with migration_door(schema_editor):
        for plan in Plan.objects.using(alias).prefetch_related("limits"):
            content = {name: getattr(plan, name) for name in FIELDS} | {
                "tier": plan.tier_id,
                "limits": {limit.key: limit.value for limit in plan.limits.all()},
            }
            PlanVersion.objects.using(alias).create(
                plan=plan,
                number=1,
                author="system",
                reason="as it was before versions were kept",
                content=content,
                before={},
                after={},
                outcome="applied",
                outcome_at=django.db.models.functions.datetime.Now(),
            )


class Migration(migrations.Migration):
    dependencies = [("tenants", "0009_audit_by_actor")]

    operations = [
        migrations.AddField(
            model_name="plan",
            name="version",
            field=models.PositiveIntegerField(
                db_default=1, default=1, editable=False, help_text="Number of the version in effect."
            ),
        ),
        migrations.CreateModel(
            name="PlanVersion",
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
                        to="tenants.plan",
                    ),
                ),
            ],
            options={
                "ordering": ["-number"],
                "constraints": [models.UniqueConstraint(fields=("plan", "number"), name="plan_version_number")],
                "indexes": [
                    models.Index(
                        condition=models.Q(("outcome", "waiting")),
                        fields=["effective_from"],
                        name="plan_version_waiting",
                    )
                ],
            },
        ),
        EnableRowSecurity("PlanVersion", column=None, app_may=["SELECT"], platform_may=["SELECT", "INSERT", "UPDATE"]),
        migrations.RunSQL(CREATE_FUNCTION, "DROP FUNCTION public.keep_version()"),
        migrations.RunSQL(CREATE_TRIGGER, "DROP TRIGGER keep_version ON tenants_planversion"),
        migrations.RunPython(put_versions, migrations.RunPython.noop),
    ]
