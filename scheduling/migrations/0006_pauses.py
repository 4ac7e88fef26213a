"""Pauses that end by themselves, and drains."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0005_schedules")]

    operations = []
