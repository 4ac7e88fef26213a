"""Limits of plans and of single tenants."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0005_audit_chain")]

    operations = []
