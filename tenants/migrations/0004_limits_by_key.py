"""The overrides of a limit are found by its key."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_tenant_provision_digest")]

    operations = [
        migrations.AddIndex("tenantlimit", models.Index(fields=["key"], name="tenant_limit_by_key")),
    ]
