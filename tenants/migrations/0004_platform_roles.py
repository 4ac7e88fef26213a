"""The platform's roles and the scopes of keys."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_tiers_and_plans")]

    operations = []
