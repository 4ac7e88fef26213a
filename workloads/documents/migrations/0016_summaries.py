"""The model that summarizes the documents of a dataset, and their summaries. Constant defaults rewrite no table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0015_disabled_documents")]

    operations = [
        migrations.AddField(
            "dataset",
            "summary_model",
            models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Chat model that adds a chunk with a summary to each document, as “endpoint/model”; empty: "
                "none.",
                max_length=200,
                verbose_name="summary model",
            ),
        ),
        migrations.AddField("document", "summary", models.TextField(blank=True, db_default="", verbose_name="summary")),
        migrations.AddField(
            "document",
            "summary_key",
            models.CharField(blank=True, db_default="", max_length=64, verbose_name="summary key"),
        ),
    ]
