"""The home region of a tenant, and the regions that it allows. Constant defaults need no rewrite of the table."""

import django.contrib.postgres.fields
import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0004_limits_by_key"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="allowed_regions",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    max_length=40,
                    validators=[
                        django.core.validators.RegexValidator(
                            "^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\\Z",
                            "Use lower-case letters, digits and hyphens, without a hyphen at the beginning or the end.",
                        )
                    ],
                ),
                blank=True,
                db_default=[],
                default=list,
                help_text="The only regions that run its jobs, the nearest first, separated by commas; empty: all pools.",
                size=20,
                verbose_name="allowed regions",
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="home_region",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Region to which routing rules send its jobs first; empty: none.",
                max_length=40,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\\Z",
                        "Use lower-case letters, digits and hyphens, without a hyphen at the beginning or the end.",
                    )
                ],
                verbose_name="home region",
            ),
        ),
    ]
