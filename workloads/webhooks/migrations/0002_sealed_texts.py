"""Texts of any length, because sealed ones are longer; neither table is rewritten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0001_initial")]

    operations = [
        migrations.AlterField(
            "webhook",
            "url",
            models.TextField(
                help_text="http or https; private and internal addresses are refused.",
                max_length=2000,
                verbose_name="url",
            ),
        ),
        migrations.AlterField("delivery", "error", models.TextField(blank=True, max_length=500, verbose_name="error")),
        migrations.AlterField(
            "delivery",
            "answer",
            models.TextField(
                blank=True,
                help_text="The beginning of the response, if it is text.",
                max_length=1000,
                verbose_name="answer",
            ),
        ),
    ]
