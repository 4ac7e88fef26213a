"""Keys inside a tenant share its part."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0009_tracing_and_canaries")]

    operations: list[migrations.operations.base.Operation] = []
