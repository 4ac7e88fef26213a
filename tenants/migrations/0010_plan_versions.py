"""Versions of plans."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0009_audit_by_actor")]

    operations: list[migrations.operations.base.Operation] = []
