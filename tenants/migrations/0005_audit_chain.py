"""The chain of the audit log."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_platform_roles")]

    operations = []
