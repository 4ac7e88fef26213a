"""The keys that tenants' values are sealed with, each wrapped by a master key that is not in the database."""

import django.contrib.postgres.functions
import django.db.models.deletion
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("tenants", "0014_audit_verifications")]

    operations = [
        migrations.CreateModel(
            name="TenantDataKey",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "wrapped",
                    models.BinaryField(
                        help_text="Nonce, key and tag: AES-256-GCM under the master key.", max_length=60
                    ),
                ),
                ("master_key_id", models.CharField(max_length=16)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow(), editable=False),
                ),
                ("retired_at", models.DateTimeField(editable=False, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "id"], name="tenant_data_key_by_tenant")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("retired_at__isnull", True)),
                        fields=("tenant",),
                        name="tenant_data_key_one_in_use",
                    )
                ],
            },
        ),
        # A tenant's work makes its first key; rotation is the platform's.
        EnableRowSecurity("TenantDataKey", app_may=["SELECT", "INSERT"]),
    ]
