"""Bounds of a plan's weight and concurrency, checked where plans are written."""

import django.core.validators
from django.db import migrations, models

import tenants.database.conf


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0010_plan_versions"),
    ]

    operations = [
        migrations.AlterField(
            model_name="plan",
            name="max_concurrency",
            field=models.PositiveIntegerField(
                default=tenants.database.conf.default_max_concurrency,
                help_text="Jobs of one tenant in flight at once.",
                validators=[django.core.validators.MaxValueValidator(100000)],
            ),
        ),
        migrations.AlterField(
            model_name="plan",
            name="weight",
            field=models.PositiveIntegerField(
                default=1,
                help_text="Share of the workers against other tenants, 1 to 1,000.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000),
                ],
            ),
        ),
    ]
