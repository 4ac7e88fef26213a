"""Who is asked to yield."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0011_cost_predictor")]

    operations: list[migrations.operations.base.Operation] = []
