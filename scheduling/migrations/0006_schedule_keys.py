"""The keys of the jobs of schedules. Each column has a default of the database, so no row is written."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0005_pool_classes_and_rates")]

    operations = [
        migrations.AddField(
            model_name="schedule",
            name="concurrency_key",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Bounds how many of the tenant's jobs of this kind with the same key run at once.",
                max_length=200,
                verbose_name="concurrency key",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="unique_key",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="While a job of the kind has this key, a run is skipped.",
                max_length=200,
                verbose_name="unique key",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="unique_until",
            field=models.CharField(
                blank=True,
                choices=[("started", "started"), ("ended", "ended")],
                db_default="",
                default="",
                help_text="When the key is free again; empty: ended. Without a unique key that of the concurrency key.",
                max_length=8,
                verbose_name="unique until",
            ),
        ),
    ]
