"""Log queries of alert rules, and the stored log lines of the platform's own processes."""

from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity

# Lines are removed all the time once there are many.
STORAGE = "ALTER TABLE scheduling_platform_log SET (autovacuum_vacuum_scale_factor = 0.02)"


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0025_baselines")]

    operations = [
        migrations.AddField(
            model_name="alertrule",
            name="log_query",
            field=models.CharField(
                blank=True,
                default="",
                help_text="A search as on the Logs page, for the measure of matching log lines.",
                max_length=500,
                verbose_name="log query",
            ),
            preserve_default=False,
        ),
        migrations.CreateModel(
            name="PlatformLog",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "level",
                    models.PositiveSmallIntegerField(
                        choices=[(10, "debug"), (20, "info"), (30, "warning"), (40, "error")]
                    ),
                ),
                ("message", models.TextField()),
                ("fields", models.JSONField(default=dict)),
                ("at", models.DateTimeField()),
            ],
            options={"db_table": "scheduling_platform_log"},
        ),
        EnableRowSecurity("PlatformLog", column=None, app_may=[]),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
    ]
