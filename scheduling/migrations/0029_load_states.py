"""Load states, the times of ticks, and the alert rules about them."""

from django.db import migrations, models

from scheduling.migrations._alert_seeds import LOAD_RULES, add_rules
from tenants.database.rls import EnableRowSecurity, cross_tenant_migration


def create_rules(apps, schema_editor):
    add_rules(apps, schema_editor, LOAD_RULES)


def delete_rules(apps, schema_editor):
    with cross_tenant_migration(schema_editor):
        rules = apps.get_model("scheduling", "AlertRule").objects.using(schema_editor.connection.alias)
        rules.filter(measure="load").delete()


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0028_result_sizes"),
    ]

    operations = [
        migrations.CreateModel(
            name="LoadState",
            fields=[
                (
                    "scope",
                    models.CharField(
                        help_text="platform, or pool:NAME",
                        max_length=60,
                        primary_key=True,
                        serialize=False,
                        verbose_name="scope",
                    ),
                ),
                (
                    "level",
                    models.SmallIntegerField(
                        choices=[(0, "normal"), (1, "busy"), (2, "overloaded"), (3, "brown-out")],
                        default=0,
                        verbose_name="measured state",
                    ),
                ),
                ("since", models.DateTimeField(verbose_name="since")),
                ("signals", models.JSONField(default=dict, verbose_name="measured values")),
                ("rising_to", models.SmallIntegerField(default=0, verbose_name="rising to")),
                ("rising_seconds", models.FloatField(default=0.0, verbose_name="rising for")),
                ("falling_seconds", models.FloatField(default=0.0, verbose_name="falling for")),
                ("measured_at", models.DateTimeField(verbose_name="measured at")),
                (
                    "forced_level",
                    models.SmallIntegerField(
                        choices=[(0, "normal"), (1, "busy"), (2, "overloaded"), (3, "brown-out")],
                        null=True,
                        verbose_name="forced state",
                    ),
                ),
                ("forced_until", models.DateTimeField(null=True, verbose_name="forced until")),
                ("forced_reason", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                ("forced_by", models.CharField(blank=True, max_length=200, verbose_name="forced by")),
            ],
            options={
                "verbose_name": "load state",
                "verbose_name_plural": "load states",
                "db_table": "scheduling_load_state",
            },
        ),
        migrations.AddField(
            model_name="poolclock",
            name="picked_at",
            field=models.DateTimeField(help_text="When a tick last picked jobs.", null=True),
        ),
        migrations.AddField(
            model_name="poolclock",
            name="tick_us",
            field=models.IntegerField(help_text="Smoothed time of the ticks that picked jobs.", null=True),
        ),
        EnableRowSecurity("LoadState", column=None, app_may=["SELECT"]),
        migrations.RunPython(create_rules, delete_rules),
    ]
