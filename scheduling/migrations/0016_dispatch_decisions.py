"""What the fairness explorer reads."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0015_eligibility")]

    operations: list[migrations.operations.base.Operation] = []
