"""Results that answer equal jobs of a tenant, by the job that has them. A new table: nobody waits."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0028_waiting_by_own_wish")]

    operations = [
        migrations.CreateModel(
            "KeptResult",
            [
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=64)),
                ("job_id", models.UUIDField()),
                ("expires_at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_kept_result",
                "indexes": [models.Index(fields=["expires_at"], name="kept_result_expires")],
            },
        ),
        EnableRowSecurity("KeptResult"),
    ]
