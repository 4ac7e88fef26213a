"""A pass over the backlog looks at what is ready once more at its end."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0019_broker_absence")]

    operations = [
        # The choices alone: no statement.
        migrations.AlterField(
            "BacklogMove",
            "phase",
            models.CharField(
                choices=[
                    ("ready", "Ready"),
                    ("due", "Due"),
                    ("held", "Held"),
                    ("suspended", "Suspended"),
                    ("again", "Ready Again"),
                ],
                default="ready",
                max_length=10,
            ),
        ),
    ]
