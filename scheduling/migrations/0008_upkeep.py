"""Upkeep, its runs and the rollups."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0007_usage")]

    operations = []
