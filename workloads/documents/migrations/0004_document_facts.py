"""What extraction finds out about a document's file. Constant defaults need no rewrite of the table."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0003_sealed_errors")]

    operations = [
        migrations.AddField(
            model_name="document",
            name="given_encoding",
            field=models.CharField(blank=True, db_default="", max_length=40, verbose_name="given encoding"),
        ),
        migrations.AddField(
            model_name="document",
            name="encoding",
            field=models.CharField(blank=True, db_default="", max_length=40, verbose_name="encoding"),
        ),
        migrations.AddField(
            model_name="document",
            name="pages",
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name="pages"),
        ),
        migrations.AddField(
            model_name="document",
            name="pages_without_text",
            field=models.PositiveIntegerField(db_default=0, verbose_name="pages without text"),
        ),
        migrations.AddField(
            model_name="document",
            name="warnings",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=300),
                blank=True,
                db_default=[],
                default=list,
                size=20,
                verbose_name="warnings",
            ),
        ),
    ]
