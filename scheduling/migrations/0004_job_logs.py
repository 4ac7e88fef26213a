"""What jobs log."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0003_queues_and_plans")]

    operations = []
