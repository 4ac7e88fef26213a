"""Error texts of any length, because sealed ones are longer; no table is rewritten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0002_dataset_regions")]

    operations = [
        migrations.AlterField(
            "document", "error_message", models.TextField(blank=True, max_length=1000, verbose_name="error message")
        ),
    ]
