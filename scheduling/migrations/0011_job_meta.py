"""The meta of jobs and its index. A constant default is added without a rewrite of the table; the new table is empty."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models.expressions import Value

from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0010_blocks_of_workers"), ("tenants", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="meta",
            field=models.JSONField(
                blank=True, db_default=Value({}, models.JSONField()), default=dict, verbose_name="meta"
            ),
        ),
        migrations.CreateModel(
            name="JobMeta",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "job_id", "name", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("job_id", models.UUIDField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
                ("name", models.CharField(max_length=64)),
                ("value", models.CharField(max_length=200)),
            ],
            options={
                "db_table": "scheduling_job_meta",
                "indexes": [models.Index(fields=["name", "value", "tenant", "job_id"], name="job_meta_member")],
            },
        ),
        EnableRowSecurity("JobMeta"),
    ]
