"""The regions of tenants' data, and which data a job is about. Both tables are empty."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0038_routing_strategies"), ("tenants", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="RegionLabel",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
                ("subject", models.UUIDField()),
                ("home_region", models.CharField(blank=True, max_length=40)),
                (
                    "allowed_regions",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40), default=list, size=None
                    ),
                ),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "db_table": "scheduling_region_label",
                "constraints": [models.UniqueConstraint(fields=("tenant", "subject"), name="region_label_subject")],
            },
        ),
        migrations.CreateModel(
            name="JobSubject",
            fields=[
                ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
                ("subject", models.UUIDField()),
            ],
            options={"db_table": "scheduling_job_subject"},
        ),
        EnableRowSecurity("RegionLabel"),
        EnableRowSecurity("JobSubject"),
    ]
