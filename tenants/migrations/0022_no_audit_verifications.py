"""Verifications are runs of upkeep: their table goes."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tenants", "0021_clear_is_staff")]

    operations = [migrations.DeleteModel("AuditVerification")]
