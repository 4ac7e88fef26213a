"""Error texts of any length, because sealed ones are longer; no table is rewritten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rag_pipeline", "0001_initial")]

    operations = [
        migrations.AlterField(
            "pipelineentity",
            "error_message",
            models.TextField(blank=True, max_length=1000, verbose_name="error message"),
        ),
        migrations.AlterField(
            "pipelinerun", "error_message", models.TextField(blank=True, max_length=1000, verbose_name="error message")
        ),
    ]
