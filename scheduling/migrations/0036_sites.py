"""The site that owns the database, and until when it may start work."""

from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0035_regions"),
    ]

    operations = [
        migrations.CreateModel(
            name="Site",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=60)),
                ("epoch", models.BigIntegerField(default=0)),
                ("starts_until", models.DateTimeField(null=True)),
                ("renewed_at", models.DateTimeField(null=True)),
                ("fault", models.CharField(blank=True, max_length=500)),
                ("promoted_at", models.DateTimeField(null=True)),
                ("lost_after", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "site",
                "verbose_name_plural": "sites",
                "db_table": "scheduling_site",
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="site_is_one")],
            },
        ),
        EnableRowSecurity("Site", column=None, app_may=["SELECT"]),
    ]
