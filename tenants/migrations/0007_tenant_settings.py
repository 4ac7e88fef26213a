"""Settings of a tenant: one row each, with the values that differ from the defaults."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_limits")]

    operations = [
        migrations.CreateModel(
            name="TenantSettings",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("stored", models.JSONField(default=dict)),
                ("version", models.PositiveIntegerField(default=0, help_text="Rises with each change.")),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
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
                "verbose_name": "settings",
                "verbose_name_plural": "settings",
                "constraints": [models.UniqueConstraint(fields=("tenant",), name="tenant_settings_tenant")],
            },
        ),
        EnableRowSecurity("TenantSettings", app_may=["SELECT", "INSERT", "UPDATE"]),
    ]
