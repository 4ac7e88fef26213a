"""The state of a dataset, and whether searches find a document. Constant defaults need no rewrite of the tables."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0013_model_of_each_dataset")]

    operations = [
        migrations.AddField(
            "dataset",
            "state",
            models.CharField(
                choices=[("active", "Active"), ("archived", "Archived"), ("deleting", "Being deleted")],
                db_default="active",
                default="active",
                editable=False,
                max_length=10,
                verbose_name="state",
            ),
        ),
        migrations.AddConstraint(
            "dataset",
            models.CheckConstraint(
                condition=models.Q(state__in=["active", "archived", "deleting"]), name="dataset_state_known"
            ),
        ),
        migrations.AddField(
            "document", "is_enabled", models.BooleanField(db_default=True, default=True, verbose_name="is searched")
        ),
    ]
