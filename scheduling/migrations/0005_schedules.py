"""Schedules and their fires."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0004_job_logs")]

    operations = []
