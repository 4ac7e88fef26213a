"""Settings of a tenant."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_limits")]

    operations = []
