"""The condition of a batch's completion job in a column of its own, because the job is sealed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0043_evidence_packs")]

    operations = [
        migrations.AddField(
            "batch",
            "only_if_completed",
            models.BooleanField(db_default=False, editable=False, verbose_name="only if completed"),
        ),
    ]
