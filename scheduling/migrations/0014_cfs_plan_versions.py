"""Versions of CFS plans, and the pools that a rule balances over."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0013_messages")]

    operations: list[migrations.operations.base.Operation] = []
