"""The home region of a dataset, and the regions that it allows. Constant defaults need no rewrite of the table."""

import django.contrib.postgres.fields
import django.core.validators
from django.db import migrations, models

_REGION = django.core.validators.RegexValidator(
    "^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\\Z",
    "Use lower-case letters, digits and hyphens, without a hyphen at the beginning or the end.",
)


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="dataset",
            name="home_region",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Region to which routing rules send jobs about it first; empty: that of the tenant.",
                max_length=40,
                validators=[_REGION],
                verbose_name="home region",
            ),
        ),
        migrations.AddField(
            model_name="dataset",
            name="allowed_regions",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=40, validators=[_REGION]),
                blank=True,
                db_default=[],
                default=list,
                help_text=(
                    "The only regions that run jobs about it, the nearest first, separated by commas; empty: its tenant's."
                ),
                size=20,
                verbose_name="allowed regions",
            ),
        ),
    ]
