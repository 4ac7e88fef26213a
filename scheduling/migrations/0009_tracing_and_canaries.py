"""Trace contexts and canaries."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0008_upkeep")]

    operations = []
