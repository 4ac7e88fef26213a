"""The cost of a run. A column without a default needs no rewrite of the table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("workflow_storage", "0002_sealed_errors")]

    operations = [
        migrations.AddField(
            "workflowrun",
            "total_cost",
            models.DecimalField(decimal_places=12, max_digits=24, null=True, verbose_name="total cost"),
        ),
    ]
