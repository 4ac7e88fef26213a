"""Routing rules may name a strategy as their balance."""

from django.db import migrations, models

# What the former schema cannot express: strategies. Their rules choose as where a strategy gives no choice.
FORGET_STRATEGIES = """
UPDATE scheduling_routingrule SET balance = 'least_loaded'
WHERE balance NOT IN ('', 'weighted', 'least_loaded', 'nearest');
"""


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0037_offers_and_needs"),
    ]

    operations = [
        migrations.AlterField(
            model_name="routingrule",
            name="balance",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="How a rule without a queue of its own spreads its jobs over the queues below.",
                max_length=40,
                verbose_name="balance",
            ),
        ),
        migrations.RunSQL(migrations.RunSQL.noop, FORGET_STRATEGIES),
    ]
