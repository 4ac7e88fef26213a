"""Regions of pools, of routing rules and of the tier rows of CFS plans."""

import django.core.validators
from django.db import migrations, models

# What the former schema cannot express: rows and rules of one region, and the balance by distance.
FORGET_REGIONS = """
DELETE FROM scheduling_cfsplantier WHERE region <> '';
UPDATE scheduling_routingrule SET is_active = false WHERE region <> '';
UPDATE scheduling_routingrule SET balance = 'least_loaded' WHERE balance = 'nearest';
"""


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0034_resources"),
        ("tenants", "0005_tenant_regions"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="cfsplantier",
            options={
                "ordering": ["tier__rank", "region"],
                "verbose_name": "tier row",
                "verbose_name_plural": "tier rows",
            },
        ),
        migrations.RemoveConstraint(
            model_name="cfsplantier",
            name="cfs_plan_tier",
        ),
        migrations.AddField(
            model_name="cfsplantier",
            name="region",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="For tenants of this home region; empty: for all that have no row of their own.",
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
        migrations.AddField(
            model_name="routingrule",
            name="region",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="For tenants of this home region; empty for every tenant.",
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
        migrations.AddField(
            model_name="workerpool",
            name="region",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Where its workers run; empty: unknown, so that tenants with allowed regions do not run here.",
                max_length=40,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\\Z",
                        "Use lower-case letters, digits and hyphens, without a hyphen at the beginning or the end.",
                    )
                ],
                verbose_name="region",
            ),
        ),
        migrations.AlterField(
            model_name="routingrule",
            name="balance",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "One queue"),
                    ("weighted", "Several queues, by weight"),
                    ("least_loaded", "Several queues, the one with the least waiting work per live slot"),
                    ("nearest", "Several queues, the nearest to the tenant's home region that has live slots"),
                ],
                db_default="",
                default="",
                help_text="How a rule without a queue of its own spreads its jobs over the queues below.",
                max_length=12,
                verbose_name="balance",
            ),
        ),
        migrations.AddConstraint(
            model_name="cfsplantier",
            constraint=models.UniqueConstraint(fields=("plan", "tier", "region"), name="cfs_plan_tier_region"),
        ),
        migrations.RunSQL(migrations.RunSQL.noop, FORGET_REGIONS),
    ]
