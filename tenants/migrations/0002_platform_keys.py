"""API keys of the platform: keys without a tenant, which row-level security shows to the platform role only."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

from tenants.database.rls import cross_tenant_migration


def remove_platform_keys(apps: Any, schema_editor: Any) -> None:
    """Delete the keys without a tenant, which the table cannot have without this migration."""
    with cross_tenant_migration(schema_editor):
        apps.get_model("tenants", "ApiKey")._base_manager.using(schema_editor.connection.alias).filter(
            tenant=None
        ).delete()


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="apikey",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.CreateModel(
            name="PlatformKey",
            fields=[],
            options={
                "verbose_name": "platform key",
                "verbose_name_plural": "platform keys",
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("tenants.apikey",),
        ),
        migrations.RunPython(migrations.RunPython.noop, remove_platform_keys),
    ]
