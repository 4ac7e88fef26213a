"""Plans of backups, the backups, and the alert rule about their age."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from scheduling.migrations._alert_seeds import BACKUP_RULES, add_rules
from tenants.database.rls import EnableRowSecurity, cross_tenant_migration


def create_rules(apps, schema_editor):
    add_rules(apps, schema_editor, BACKUP_RULES)


def delete_rules(apps, schema_editor):
    with cross_tenant_migration(schema_editor):
        rules = apps.get_model("scheduling", "AlertRule").objects.using(schema_editor.connection.alias)
        rules.filter(measure="backup_age").delete()


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0030_shedding"),
    ]

    operations = [
        migrations.CreateModel(
            name="BackupPlan",
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
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "target",
                    models.CharField(help_text="Folder, or s3://BUCKET/PREFIX.", max_length=300, verbose_name="target"),
                ),
                (
                    "every_hours",
                    models.PositiveSmallIntegerField(
                        default=24,
                        help_text="Hours between two backups.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(744),
                        ],
                        verbose_name="every",
                    ),
                ),
                (
                    "promised_hours",
                    models.PositiveSmallIntegerField(
                        default=30,
                        help_text="Hours; an alert fires when the newest backup is older.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(744),
                        ],
                        verbose_name="promised age",
                    ),
                ),
                (
                    "keep_days",
                    models.PositiveSmallIntegerField(
                        default=30,
                        help_text="Days; older backups are deleted.",
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="keep for",
                    ),
                ),
                (
                    "keep_least",
                    models.PositiveSmallIntegerField(
                        default=3,
                        help_text="Backups that are kept however old they are.",
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="keep at least",
                    ),
                ),
                (
                    "has_files",
                    models.BooleanField(
                        default=True, help_text="Whether they contain stored files.", verbose_name="with files"
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
            ],
            options={
                "verbose_name": "backup plan",
                "verbose_name_plural": "backup plans",
                "db_table": "scheduling_backup_plan",
                "constraints": [models.UniqueConstraint(fields=("name",), name="backup_plan_name")],
            },
        ),
        migrations.CreateModel(
            name="Backup",
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
                    "kind",
                    models.CharField(
                        choices=[("backup", "backup"), ("snapshot", "snapshot of states")],
                        default="backup",
                        max_length=8,
                        verbose_name="kind",
                    ),
                ),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("target", models.CharField(max_length=300, verbose_name="target")),
                ("taken_at", models.DateTimeField(verbose_name="taken at")),
                ("seconds", models.FloatField(default=0.0, verbose_name="duration")),
                ("size_bytes", models.BigIntegerField(default=0, verbose_name="size")),
                ("row_count", models.BigIntegerField(default=0, verbose_name="rows")),
                ("file_count", models.BigIntegerField(default=0, verbose_name="files")),
                ("error", models.TextField(blank=True, verbose_name="error")),
                ("deleted_at", models.DateTimeField(null=True, verbose_name="deleted at")),
                ("verified_at", models.DateTimeField(null=True, verbose_name="verified at")),
                ("loss_seconds", models.FloatField(null=True, verbose_name="loss (RPO)")),
                ("restore_seconds", models.FloatField(null=True, verbose_name="restore (RTO)")),
                (
                    "faults",
                    models.JSONField(default=list, help_text="What the verification found.", verbose_name="faults"),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="backups",
                        to="scheduling.backupplan",
                        verbose_name="plan",
                    ),
                ),
            ],
            options={
                "verbose_name": "backup",
                "verbose_name_plural": "backups",
                "db_table": "scheduling_backup",
                "indexes": [models.Index(fields=["plan", "-taken_at"], name="backup_by_plan")],
            },
        ),
        EnableRowSecurity("BackupPlan", column=None, app_may=["SELECT"]),
        EnableRowSecurity("Backup", column=None, app_may=["SELECT"]),
        migrations.RunPython(create_rules, delete_rules),
    ]
