"""The tables of job templates and their versions."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity

# A version stays as it was written; its content may be sealed, and sealed with another key.
TRIGGER = """
    CREATE TRIGGER keep_version BEFORE UPDATE OF id, tenant_id, template_id, number, author, reason, effective_from,
        created_at ON scheduling_job_template_version
    FOR EACH ROW EXECUTE FUNCTION public.keep_version();
"""


def key():
    return models.UUIDField(
        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False, verbose_name="id"
    )


def tenant_field():
    return models.ForeignKey(
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to="tenants.tenant",
        verbose_name="tenant",
    )


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0014_worker_minutes"), ("tenants", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="JobTemplate",
            fields=[
                ("id", key()),
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
                (
                    "name",
                    models.SlugField(
                        db_index=False,
                        help_text="Lower-case letters, digits and hyphens; unique.",
                        verbose_name="name",
                    ),
                ),
                ("description", models.CharField(blank=True, max_length=1000, verbose_name="description")),
                (
                    "runners",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[("owner", "Owner"), ("developer", "Developer"), ("viewer", "Viewer")],
                            max_length=20,
                        ),
                        blank=True,
                        default=list,
                        help_text="Roles that may run it although they may not submit other jobs.",
                        size=None,
                        verbose_name="who may run it",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                ("tenant", tenant_field()),
            ],
            options={
                "verbose_name": "job template",
                "verbose_name_plural": "job templates",
                "db_table": "scheduling_job_template",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "name"), name="job_template_name_unique"),
                ],
            },
        ),
        migrations.CreateModel(
            name="JobTemplateVersion",
            fields=[
                ("id", key()),
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
                    "template",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="scheduling.jobtemplate",
                    ),
                ),
                ("tenant", tenant_field()),
            ],
            options={
                "verbose_name_plural": "versions of job templates",
                "db_table": "scheduling_job_template_version",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "template", "number"), name="job_template_version_unique")
                ],
                "indexes": [
                    models.Index(
                        condition=models.Q(("outcome", "waiting")),
                        fields=["effective_from"],
                        name="job_template_version_waiting",
                    )
                ],
            },
        ),
        # Not part of the table's creation, because its foreign key needs it in this migration.
        migrations.AddConstraint(
            model_name="jobtemplate",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="job_template_tenant_id"),
        ),
        EnableRowSecurity("JobTemplate"),
        EnableRowSecurity("JobTemplateVersion", app_may=["SELECT", "INSERT", "UPDATE", "DELETE"]),
        AddCompositeForeignKey(
            "JobTemplateVersion",
            columns=("tenant_id", "template_id"),
            to="scheduling.JobTemplate",
            on_delete="CASCADE",
        ),
        migrations.RunSQL(TRIGGER, migrations.RunSQL.noop),
    ]
