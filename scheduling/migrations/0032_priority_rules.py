"""Rules that move jobs within their tenant's line under load."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0031_backups"),
        ("tenants", "0003_tenant_provision_digest"),
    ]

    operations = [
        migrations.CreateModel(
            name="PriorityRule",
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
                    "position",
                    models.PositiveSmallIntegerField(
                        help_text="Rules are listed in this order.", verbose_name="position"
                    ),
                ),
                (
                    "from_level",
                    models.PositiveSmallIntegerField(
                        choices=[(1, "busy"), (2, "overloaded"), (3, "brown-out")],
                        default=1,
                        help_text="The load state that it needs.",
                        verbose_name="from",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        blank=True,
                        help_text="Empty: every kind whose failure share is greater.",
                        max_length=64,
                        verbose_name="kind",
                    ),
                ),
                (
                    "failure_percent",
                    models.PositiveSmallIntegerField(
                        default=0,
                        help_text="Percent of the tenant's jobs of the kind that failed in ten minutes; 0: whatever fails.",
                        validators=[django.core.validators.MaxValueValidator(99)],
                        verbose_name="failures above",
                    ),
                ),
                (
                    "offset_seconds",
                    models.SmallIntegerField(
                        help_text="Seconds: jobs are placed as if they had come so much earlier; negative: later.",
                        validators=[
                            django.core.validators.MinValueValidator(-300),
                            django.core.validators.MaxValueValidator(300),
                        ],
                        verbose_name="offset",
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "tier",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Jobs of tenants of this tier; empty: of every tier.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.tier",
                        verbose_name="tier",
                    ),
                ),
            ],
            options={
                "verbose_name": "priority rule",
                "verbose_name_plural": "priority rules",
                "db_table": "scheduling_priority_rule",
                "constraints": [models.UniqueConstraint(fields=("position",), name="priority_rule_position")],
            },
        ),
        EnableRowSecurity("PriorityRule", column=None, app_may=["SELECT"]),
    ]
