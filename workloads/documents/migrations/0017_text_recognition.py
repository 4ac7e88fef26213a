"""Settings of extraction in datasets, and the number of a document's recognised pages. No table is rewritten."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0016_summaries")]

    operations = [
        migrations.AddField(
            "dataset",
            "max_ocr_pages",
            models.PositiveSmallIntegerField(
                db_default=0,
                default=0,
                help_text="Of each PDF file, the pages without text whose pictures are read, up to 200; 0: none.",
                validators=[django.core.validators.MaxValueValidator(200)],
                verbose_name="pages with text recognition",
            ),
        ),
        migrations.AddField(
            "dataset",
            "reads_comments",
            models.BooleanField(
                db_default=False,
                default=False,
                help_text="Comments of Word documents belong to the text, with the names of their authors.",
                verbose_name="read comments",
            ),
        ),
        migrations.AddField(
            "document",
            "pages_recognized",
            models.PositiveIntegerField(db_default=0, verbose_name="recognised pages"),
        ),
    ]
