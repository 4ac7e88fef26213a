"""Executions that travel in one message."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0012_time_slices")]

    operations: list[migrations.operations.base.Operation] = []
