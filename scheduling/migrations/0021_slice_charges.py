"""What a hand-out is charged, where that is a slice and not all that is predicted."""

from django.db import migrations, models

from tenants.rls import migration_door

ADD_TO_SETTLED = "ALTER TABLE scheduling_settled ADD COLUMN charged_us bigint"
TAKE_FROM_SETTLED = "ALTER TABLE scheduling_settled DROP COLUMN charged_us"
# On the way back the charge is all that is known: the ledger and the clocks go by it.
CALL_CHARGED_PREDICTED = (
    "UPDATE scheduling_execution_live SET predicted_us = charged_us WHERE charged_us IS NOT NULL",
    "UPDATE scheduling_settled SET predicted_us = charged_us WHERE charged_us IS NOT NULL",
)


def call_charged_predicted(apps, schema_editor):
    del apps
    with migration_door(schema_editor), schema_editor.connection.cursor() as cursor:
        for statement in CALL_CHARGED_PREDICTED:
            cursor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0020_backlog_again")]

    operations = [
        migrations.AddField(
            "LiveExecution",
            "charged_us",
            models.BigIntegerField(help_text="Charged so far, where that is not what is predicted.", null=True),
        ),
        migrations.RunSQL(ADD_TO_SETTLED, TAKE_FROM_SETTLED),
        migrations.AlterField(
            "Charge",
            "reason",
            models.CharField(
                max_length=10,
                choices=[
                    ("predicted", "predicted at dispatch"),
                    ("slice", "another slice of one that goes on"),
                    ("corrected", "corrected to the measured time"),
                    ("closing", "closing of rows that were pruned"),
                ],
            ),
        ),
        # Last, so that it is the first on the way back.
        migrations.RunPython(migrations.RunPython.noop, call_charged_predicted),
    ]
