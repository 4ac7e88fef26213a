"""The erasure of a tenant."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_tenant_settings")]

    operations = []
