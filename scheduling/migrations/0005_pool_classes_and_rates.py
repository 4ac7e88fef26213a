"""The resource class of a pool and the rate at which it charges slot time. No column is added by a rewrite or a scan."""

import django.core.validators
from django.db import migrations, models
from django.db.migrations.exceptions import IrreversibleError

from tenants.database.rls import cross_tenant_migration


def refuse_other_rates(apps, schema_editor):
    """Raise IrreversibleError if an execution has another rate than 1000, which would be lost with the column."""
    alias = schema_editor.connection.alias
    with cross_tenant_migration(schema_editor):
        for name in ("LiveExecution", "Execution"):
            if apps.get_model("scheduling", name).objects.using(alias).exclude(rate_milli=1000).exists():
                raise IrreversibleError(
                    "Executions were charged at another rate than 1000, which this would delete, and their charges"
                    " would no longer match. Keep this migration until their retention has ended."
                )


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0004_prefetch_lists"),
    ]

    operations = [
        migrations.AddField(
            model_name="workerpool",
            name="resource_class",
            field=models.CharField(
                choices=[("cpu", "CPU"), ("io", "I/O")],
                db_default="cpu",
                default="cpu",
                help_text="An I/O pool runs asynchronous kinds as coroutines: its slots wait rather than compute.",
                max_length=3,
                verbose_name="resource class",
            ),
        ),
        migrations.AddField(
            model_name="workerpool",
            name="rate_milli",
            field=models.PositiveIntegerField(
                db_default=1000,
                default=1000,
                help_text="Share of slot time that is charged, in thousandths.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000),
                ],
                verbose_name="rate milli",
            ),
        ),
        migrations.AddField(
            model_name="liveexecution",
            name="rate_milli",
            field=models.IntegerField(
                db_default=1000, help_text="The pool's rate at dispatch.", verbose_name="rate milli"
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="rate_milli",
            field=models.IntegerField(
                db_default=1000,
                help_text="The rate of its charges.",
                verbose_name="rate milli",
            ),
        ),
        migrations.RunSQL(
            "ALTER TABLE scheduling_settled ADD COLUMN rate_milli integer NOT NULL DEFAULT 1000",
            "ALTER TABLE scheduling_settled DROP COLUMN rate_milli",
            state_operations=[
                migrations.AddField(model_name="settled", name="rate_milli", field=models.IntegerField(db_default=1000))
            ],
        ),
        # Last, so that it is reversed first.
        migrations.RunPython(migrations.RunPython.noop, refuse_other_rates),
    ]
