"""Rates of queues, memory classes and circuit breakers."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0014_cfs_plan_versions")]

    operations: list[migrations.operations.base.Operation] = []
