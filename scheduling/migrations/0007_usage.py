"""What tenants have used."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0006_pauses")]

    operations = []
