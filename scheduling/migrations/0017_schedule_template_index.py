"""The index that finds the schedules of a template, created without blocking writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("scheduling", "0016_schedule_templates")]

    operations = [
        AddIndexConcurrently(
            model_name="schedule",
            index=models.Index(
                condition=models.Q(("template__isnull", False)), fields=["template"], name="schedule_of_template"
            ),
        ),
    ]
