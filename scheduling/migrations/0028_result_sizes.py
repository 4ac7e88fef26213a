"""Sizes of results in the minutes of kinds, and as a measure of anomalies."""

from django.db import migrations, models

MEASURES = [
    ("rate", "runs ended a minute"),
    ("wait", "wait, 95th percentile"),
    ("run", "run time, 80th percentile"),
    ("failures", "failure rate"),
    ("result", "result size, mean"),
]


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0027_investigations")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE scheduling_tally ADD COLUMN result_bytes integer",
            "ALTER TABLE scheduling_tally DROP COLUMN result_bytes",
        ),
        migrations.AddField(
            model_name="kindminute",
            name="result_bytes",
            field=models.BigIntegerField(db_default=0, help_text="Sum of the sizes of stored results."),
        ),
        *(
            migrations.AlterField(
                model_name=model, name="measure", field=models.CharField(choices=MEASURES, max_length=8)
            )
            for model in ("seriesbaseline", "anomaly")
        ),
    ]
