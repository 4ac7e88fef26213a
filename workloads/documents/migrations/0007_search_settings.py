"""The weight of words in searches of a dataset, and their least score. Empty columns need no rewrite of the table."""

import django.core.validators
from django.db import migrations, models

_FROM_0_TO_1 = [django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1)]


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0006_chunk_places")]

    operations = [
        migrations.AddField(
            model_name="dataset",
            name="text_weight",
            field=models.FloatField(
                blank=True,
                help_text=(
                    "Of the mode hybrid, 0 to 1; the rest is the weight of vectors. Empty: by how rare the query's "
                    "words are."
                ),
                null=True,
                validators=_FROM_0_TO_1,
                verbose_name="weight of words",
            ),
        ),
        migrations.AddField(
            model_name="dataset",
            name="min_score",
            field=models.FloatField(
                blank=True,
                help_text="Chunks with a lower score are not found, 0 to 1. Empty: all are.",
                null=True,
                validators=_FROM_0_TO_1,
                verbose_name="least score",
            ),
        ),
    ]
