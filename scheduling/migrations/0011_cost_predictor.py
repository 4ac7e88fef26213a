"""The predictor's sums and the payload's size beside each ready job."""

from django.db import migrations, models

from tenants.database.rls import migration_door

# Constant defaults and no checks: no table is rewritten or read through. Rows that no tick has folded yet teach nothing about sizes.
ADD_TO_SETTLED = """
    ALTER TABLE scheduling_settled ADD COLUMN payload_bytes integer NOT NULL DEFAULT 0,
        ADD COLUMN used_us bigint NOT NULL DEFAULT 0
"""
ADD_TO_WAKE = "ALTER TABLE scheduling_wake ADD COLUMN is_bulk boolean NOT NULL DEFAULT false"
TAKE_FROM_WAKE = "ALTER TABLE scheduling_wake DROP COLUMN is_bulk"
TAKE_FROM_SETTLED = "ALTER TABLE scheduling_settled DROP COLUMN payload_bytes, DROP COLUMN used_us"
# What was known so far counts as one sample: sizes were not kept, so it must fade before they can explain anything.
BEGIN_SUMS = """
    UPDATE {table} SET n = 1, sum_y = mean_us, sum_yy = mean_us::float8 * mean_us, least_us = mean_us, most_us = mean_us
"""
SUMS = ("sum_x", "sum_y", "sum_xx", "sum_xy", "sum_yy", "least_us", "most_us")
ERRORS = {
    "error_us": "Sum of |predicted - measured|.",
    "bias_us": "Sum of predicted - measured.",
    "total_us": "Sum of measured, to divide these two by.",
}


def begin_sums(apps, schema_editor):
    with migration_door(schema_editor), schema_editor.connection.cursor() as cursor:
        for table in ("scheduling_kind_cost", "scheduling_tenant_kind_cost"):
            cursor.execute(BEGIN_SUMS.format(table=table))
        cursor.execute("UPDATE scheduling_settled SET used_us = measured_us")


def cost_columns(model):
    return [
        migrations.AddField(model, "n", models.FloatField(db_default=1.0)),
        *(migrations.AddField(model, name, models.FloatField(db_default=0.0)) for name in SUMS),
        *(
            migrations.AddField(model, name, models.FloatField(db_default=0.0, help_text=text))
            for name, text in ERRORS.items()
        ),
        migrations.AddField(model, "updated_at", models.DateTimeField(null=True)),
        migrations.AlterField(model, "samples", models.BigIntegerField(help_text="Jobs that taught, in all.")),
    ]


def waiting_columns(model):
    return [
        migrations.AddField(model, "payload_bytes", models.IntegerField(db_default=0)),
        migrations.AddField(model, "used_us", models.BigIntegerField(db_default=0)),
    ]


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0010_fair_keys")]

    operations = [
        *waiting_columns("JobReady"),
        *waiting_columns("JobDue"),
        *waiting_columns("JobHeld"),
        migrations.AddField(
            "Job",
            "payload_bytes",
            models.IntegerField(db_default=0, help_text="By which its cost is predicted."),
        ),
        migrations.AddField(
            "Job",
            "used_us",
            models.BigIntegerField(db_default=0, help_text="Slot time of what is done so far and is not done again."),
        ),
        # The table is no business of Django's migrations; its model is.
        migrations.RunSQL(ADD_TO_SETTLED, TAKE_FROM_SETTLED),
        migrations.RunSQL(ADD_TO_WAKE, TAKE_FROM_WAKE),
        *cost_columns("KindCost"),
        *cost_columns("TenantKindCost"),
        migrations.RunPython(begin_sums, migrations.RunPython.noop),
        migrations.AlterModelOptions(
            "KindCost", {"verbose_name": "cost of a kind", "verbose_name_plural": "costs by kind"}
        ),
    ]
