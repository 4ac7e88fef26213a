"""What the platform does without under load, and the rules that an installation begins with."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import tenants.database.ids
from scheduling.migrations._shedding_seeds import RULES
from tenants.database.rls import EnableRowSecurity, cross_tenant_migration


def create_rules(apps, schema_editor):
    alias = schema_editor.connection.alias
    with cross_tenant_migration(schema_editor):
        rules = apps.get_model("scheduling", "SheddingRule").objects.using(alias)
        tiers = set(apps.get_model("tenants", "Tier").objects.using(alias).values_list("slug", flat=True))
        for number, (name, level, action, about) in enumerate(RULES, 1):
            if action == "off":
                rules.create(name=name, position=10 * number, from_level=level, action=action, feature=about)
            elif about in tiers:
                rules.create(name=name, position=10 * number, from_level=level, action=action, tier_id=about)


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0029_load_states"),
        ("tenants", "0003_tenant_provision_digest"),
    ]

    operations = [
        migrations.AddField(
            model_name="loadstate",
            name="admitted",
            field=models.JSONField(
                default=dict, help_text="Percent of new jobs that are accepted, by tier.", verbose_name="admitted"
            ),
        ),
        migrations.CreateModel(
            name="SheddingRule",
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
                        help_text="Rules are read in this order.", verbose_name="position"
                    ),
                ),
                (
                    "from_level",
                    models.PositiveSmallIntegerField(
                        choices=[(1, "busy"), (2, "overloaded"), (3, "brown-out")],
                        default=2,
                        help_text="The load state that it needs.",
                        verbose_name="from",
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("refuse", "refuse: 503 with Retry-After"),
                            ("delay", "delay: accept for later"),
                            ("off", "switch a feature off"),
                            ("essential", "essential: accept always"),
                        ],
                        max_length=9,
                        verbose_name="action",
                    ),
                ),
                (
                    "kind",
                    models.CharField(blank=True, help_text="Empty: every kind.", max_length=64, verbose_name="kind"),
                ),
                (
                    "feature",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("what_if", "what-if"),
                            ("exact_counts", "counts of lists"),
                            ("exports", "exports"),
                            ("previews", "search"),
                            ("streams", "event streams"),
                        ],
                        help_text="For the action “off”.",
                        max_length=20,
                        verbose_name="feature",
                    ),
                ),
                (
                    "delay_seconds",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Seconds, for the action “delay”.",
                        validators=[django.core.validators.MaxValueValidator(3600)],
                        verbose_name="delay",
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
                "verbose_name": "shedding rule",
                "verbose_name_plural": "shedding rules",
                "db_table": "scheduling_shedding_rule",
                "constraints": [models.UniqueConstraint(fields=("position",), name="shedding_position")],
            },
        ),
        EnableRowSecurity("SheddingRule", column=None, app_may=["SELECT"]),
        migrations.RunPython(create_rules, migrations.RunPython.noop),
    ]
